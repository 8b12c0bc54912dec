//! One decision of the shipped policies, as a run asks for it: the facts are gathered into a question, all policies
//! are evaluated, and for what takes effect the second question is asked too. Target: 50 µs at the median.
//! Every question is put to Cedar, but for `known_read`, whose answer the host knows from the time before.
//!
//! `cargo bench -p juggernaut --bench policy_decision`

#![allow(clippy::expect_used, reason = "a bench that can not be set up has to end")]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use juggernaut::manifest::Manifest;
use juggernaut::policy::action::{MergePullRequest, PutFile};
use juggernaut::policy::{Assessment, Authority, MergeFacts, Policies, Scope};
use juggernaut::repo::{Branch, RepoPath, Repository, Sha};
use juggernaut::task::{Risk, Target, TaskId};

/// As the host's own binary does it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const MIGRATION: &[u8] = b"create table notes (id bigint primary key, body text not null);
create index notes_body on notes (body);
alter table tasks add column note bigint references notes (id);
";

fn decisions(bench: &mut Criterion) {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../roles/executor/capabilities.toml");
    let manifest = Manifest::read(&manifest).expect("our own manifest");
    let manifest = Arc::new(manifest);
    let under = |policies| Authority::new(Arc::new(policies), Arc::clone(&manifest)).expect("our own role");
    let authority = under(Policies::shipped().expect("our own policies").forgetful());
    let remembering = under(Policies::shipped().expect("our own policies"));
    let repository = Repository::parse("demo/sample").expect("a name");
    let target = Target { repository: repository.clone(), base: Branch::parse("main").expect("a name") };
    let (task, risk) = (TaskId::generate(), Assessment::new(Risk::High, vec![]));
    let scope = Scope { authority: &authority, task, task_type: "code", risk: &risk, target: Some(&target) };

    bench
        .bench_function("read_repository", |bench| bench.iter(|| scope.read(black_box(&repository)).expect("allowed")));

    let scope_of_host = Scope { authority: &remembering, ..scope };
    bench.bench_function("known_read", |bench| {
        bench.iter(|| scope_of_host.read(black_box(&repository)).expect("allowed"));
    });

    let put = PutFile {
        repository: repository.clone(),
        branch: Branch::parse(&task.branch()).expect("a name"),
        path: RepoPath::parse("core/memory.py").expect("a path"),
        content: b"x = 1\n".repeat(100),
        message: "feat: memory".to_owned(),
        previous: None,
    };
    bench.bench_function("put_file", |bench| bench.iter(|| scope.put_file(black_box(put.clone())).expect("allowed")));
    // What makes a file SQL makes the host read it as such, which is beside the policies' evaluation.
    let migration = PutFile {
        path: RepoPath::parse("migrations/0007_notes.sql").expect("a path"),
        content: MIGRATION.to_vec(),
        ..put.clone()
    };
    bench.bench_function("put_migration", |bench| {
        bench.iter(|| scope.put_file(black_box(migration.clone())).expect("allowed"));
    });

    let sha = Sha::parse(&"a".repeat(40)).expect("a SHA");
    let merge =
        MergePullRequest { repository: repository.clone(), number: 1, head_sha: sha.clone(), message: String::new() };
    let facts = MergeFacts {
        head_repository: Some(repository),
        head_branch: task.branch(),
        base_branch: "main".to_owned(),
        head: sha.to_string(),
        commits: vec![sha.clone()],
        truncated: false,
        paths: vec!["core/memory.py".to_owned(), "tests/test_memory.py".to_owned()],
        own_commits: vec![sha],
        base_renames: vec![],
        files_removed: 0,
        gone: vec![],
        contents: vec![],
        unread: vec![],
    };
    bench.bench_function("merge_of_high_risk", |bench| {
        bench.iter(|| scope.merge(black_box(merge.clone()), &facts).expect("permitted").needs.expect("a person"));
    });
    let path = "migrations/0007_notes.sql".to_owned();
    let facts = MergeFacts { paths: vec![path.clone()], contents: vec![(path, MIGRATION.to_vec())], ..facts };
    bench.bench_function("merge_of_migration", |bench| {
        bench.iter(|| scope.merge(black_box(merge.clone()), &facts).expect("permitted").needs.expect("a person"));
    });
}

criterion_group!(benches, decisions);
criterion_main!(benches);
