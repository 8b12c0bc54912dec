//! Does the harm that its payload names: `{"harm": "loop"}`.

use std::io::Write as _;

use juggernaut_guest::{Assignment, Evidence, Failure, error, github_read, github_write, info, scratch, timer};

juggernaut_guest::role!(run);

#[expect(clippy::disallowed_methods, reason = "the harm is to use them")]
fn run(task: Assignment) -> Result<Evidence, Failure> {
    let payload: serde_json::Value = serde_json::from_str(&task.payload).unwrap_or_default();
    let harm = payload["harm"].as_str().unwrap_or_default();
    match harm {
        "loop" => loop {
            std::hint::black_box(0);
        },
        "sleep" => std::thread::sleep(std::time::Duration::from_secs(3600)),
        "recurse" => info!("{}", recurse(1)),
        "allocate" => allocate(),
        "flood" => loop {
            info!("all work and no play");
        },
        "flood-stdout" => loop {
            println!("all work and no play");
        },
        "panic" => panic!("this was {harm}"),
        "exit" => std::process::exit(3),
        "calls" => loop {
            github_read::get_branch("demo/sample", "main").map(drop).unwrap_or_default();
        },
        "big-argument" => {
            let big = "x".repeat(40 << 20);
            info!("{big}");
        }
        "loop-in-log" => info!("{}", "y".repeat(100_000)),
        "clock" => return clock(),
        "environment" => info!("{:?} {:?}", std::env::vars().collect::<Vec<_>>(), std::env::args().collect::<Vec<_>>()),
        "scratch" => return scratch_harm(),
        "writes" => return writes(&task, payload["foreign"].as_str().unwrap_or_default()),
        "partial" => return partial(),
        "diverge" => return diverge(),
        "raise" => {
            let risk = |name: &str| match name {
                "medium" => juggernaut_guest::Risk::Medium,
                "high" => juggernaut_guest::Risk::High,
                "critical" => juggernaut_guest::Risk::Critical,
                _ => juggernaut_guest::Risk::Low,
            };
            for level in payload["levels"].as_array().into_iter().flatten() {
                juggernaut_guest::task::raise_risk(
                    risk(level.as_str().unwrap_or_default()),
                    "because\0 of \u{202e}reasons",
                );
                github_read::get_branch("demo/sample", "main").map(drop).unwrap_or_default();
            }
        }
        "leak" => return leak(&task, &payload),
        "leak-often" => return leak_often(&payload),
        "nul" => info!("a\0b"),
        other => return Err(Failure::final_(format!("no such harm: {other:?}"))),
    }
    Err(Failure::final_("the harm was done"))
}

#[expect(unconditional_recursion, reason = "that is the harm")]
fn recurse(depth: u64) -> u64 {
    std::hint::black_box(recurse(std::hint::black_box(depth + 1)) + 1)
}

fn allocate() {
    let mut hoard = Vec::new();
    loop {
        hoard.push(vec![1u8; 1 << 20]);
        std::hint::black_box(&hoard);
    }
}

fn random() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(1)
}

/// Says what it sees, is suspended, and says it again: the second line comes from another start of the component.
fn clock() -> Result<Evidence, Failure> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let started = std::time::Instant::now();
    let seen = format!("{} {} {started:?}", now.as_nanos(), random());
    info!("{seen}");
    timer::sleep(std::time::Duration::from_millis(1500))?;
    info!("{seen}");
    Err(Failure::final_(format!("slept {} ms", started.elapsed().as_millis())))
}

/// Everything past the quota or outside the run's own files is refused, and what was there before stays.
fn scratch_harm() -> Result<Evidence, Failure> {
    let mut said = Vec::new();
    for path in ["/etc/passwd", "../x", "a/../../x", "a\\b", "", "a/./b"] {
        said.push(format!("{path:?}: {:?}", scratch::write(path, b"x").is_err()));
    }
    scratch::write("kept", b"kept")?;
    said.push(format!("over quota: {:?}", scratch::write("big", &vec![0; 3 << 20]).is_err()));
    said.push(format!("kept: {:?}", scratch::read("kept").ok() == Some(b"kept".to_vec())));
    let filled = (0..10_000).filter(|number| scratch::write(&format!("f{number}"), b"").is_ok()).count();
    said.push(format!("files: {filled}"));
    Err(Failure::final_(said.join("; ")))
}

/// Tries to write where it must not.
fn writes(task: &Assignment, foreign: &str) -> Result<Evidence, Failure> {
    let sha = github_read::get_branch("demo/sample", "main")?;
    let mut said = Vec::new();
    let mut tell = |what: &str, result: Result<(), juggernaut_guest::Error>| {
        said.push(format!("{what}: {}", result.map_or_else(|error| kind(&error), |()| "ALLOWED".to_owned())));
    };
    tell("other-branch", github_write::create_branch("demo/sample", "feature/other", &sha));
    tell("main", github_write::put_file("demo/sample", "main", "a.py", b"x", "m", None).map(drop));
    tell("other-repository", github_write::create_branch("other/sample", &task.branch, &sha));
    tell("bad-repository", github_write::create_branch("demo/../other", &task.branch, &sha));
    tell("foreign-commit", github_write::create_branch("demo/sample", &task.branch, foreign));
    tell("other-granted-repository", github_write::create_branch("demo/other", &task.branch, &sha));
    tell("create", github_write::create_branch("demo/sample", &task.branch, &sha));
    for path in [".github/workflows/x.yml", "CODEOWNERS", ".gitmodules", "a/../.github/x", "roles.lock"] {
        tell(path, github_write::put_file("demo/sample", &task.branch, path, b"x", "m", None).map(drop));
    }
    tell(
        "forged-trailer",
        github_write::put_file("demo/sample", &task.branch, "a", b"x", "Juggernaut-Step: x", None).map(drop),
    );
    tell("base", github_write::open_pull_request("demo/sample", &task.branch, "release", "t", "b").map(drop));
    error!("{}", said.join("; "));
    Err(Failure::final_(said.join("; ")))
}

/// Leaves a line unfinished across a suspension: nothing that comes after may be swallowed for it.
fn partial() -> Result<Evidence, Failure> {
    print!("half a line");
    std::io::stdout().flush().map_err(|error| Failure::final_(error.to_string()))?;
    timer::sleep(std::time::Duration::from_millis(10))?;
    info!("after the first sleep");
    timer::sleep(std::time::Duration::from_millis(10))?;
    info!("after the second sleep");
    Err(Failure::final_("said everything"))
}

fn kind(error: &juggernaut_guest::Error) -> String {
    format!("{error:?}").split('(').next().unwrap_or_default().to_owned()
}

/// Would make another call after a resume if its files outlived the first start; they do not.
fn diverge() -> Result<Evidence, Failure> {
    let branch = if scratch::read("seen").is_ok() { "other" } else { "main" };
    scratch::write("seen", b"1")?;
    github_read::get_branch("demo/sample", branch)?;
    timer::sleep(std::time::Duration::from_millis(10))?;
    Err(Failure::final_("scratch was empty at each start"))
}

/// Sends each of `texts` out in every way there is, and says how each call went; then ends as `end` says.
fn leak(task: &Assignment, payload: &serde_json::Value) -> Result<Evidence, Failure> {
    let (repository, branch) = ("demo/sample", task.branch.as_str());
    let sha = github_read::get_branch(repository, "main")?;
    github_write::create_branch(repository, branch, &sha)?;
    let mut said = Vec::new();
    let texts: Vec<&str> = payload["texts"].as_array().into_iter().flatten().filter_map(|text| text.as_str()).collect();
    for text in &texts {
        let mut tell = |what: &str, result: Result<(), juggernaut_guest::Error>| {
            said.push(format!(
                "{what}: {}",
                result.map_or_else(|error| format!("{error:?}"), |()| "ALLOWED".to_owned())
            ));
        };
        let content = format!("x = 1\n# {text}\n");
        tell("content", github_write::put_file(repository, branch, "a.py", content.as_bytes(), "m", None).map(drop));
        tell("message", github_write::put_file(repository, branch, "a.py", b"x", text, None).map(drop));
        let path = text.replace(['%', '\\'], "_");
        tell("title", github_write::open_pull_request(repository, branch, "main", text, "b").map(drop));
        tell("body", github_write::open_pull_request(repository, branch, "main", "t", text).map(drop));
        if path == **text {
            tell("path", github_write::put_file(repository, branch, &format!("a/{text}"), b"x", "m", None).map(drop));
            tell("branch", github_read::get_branch(repository, text).map(drop));
        }
        say(text)?;
    }
    info!("{}", said.join("\n"));
    let last = texts.last().copied().unwrap_or_default();
    match payload["end"].as_str().unwrap_or_default() {
        "summary" => Ok(Evidence::statement(format!("done: {last}"))),
        // Cut off in the middle of the text, if it were cut before it is searched.
        "long-failure" => Err(Failure::final_(format!("{}{last}", "y".repeat(4096 - last.len() / 2)))),
        "panic" => panic!("{last}"),
        _ => Err(Failure::final_(format!("failed: {last}"))),
    }
}

/// In the log, whole and in two halves, over two writes and over two lines.
#[expect(clippy::print_stderr, reason = "the harm is to use it")]
fn say(text: &str) -> Result<(), Failure> {
    let (first, second) = text.split_at(text.len() / 2);
    let flush = || std::io::stdout().flush().map_err(|error| Failure::final_(error.to_string()));
    info!("{text}");
    info!("{first}");
    info!("{second}");
    print!("{first}");
    flush()?;
    println!("{second}");
    println!("{first}");
    println!("{second}");
    eprintln!("so: {text}!");
    Ok(())
}

/// The same refused call, again and again.
fn leak_often(payload: &serde_json::Value) -> Result<Evidence, Failure> {
    let text = payload["texts"][0].as_str().unwrap_or_default();
    let times = payload["times"].as_u64().unwrap_or_default();
    let denied = (0..times).filter(|_| github_read::get_branch("demo/sample", text).is_err()).count();
    Err(Failure::final_(format!("denied {denied} times")))
}
