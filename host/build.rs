//! `sqlx::migrate!` embeds the folder, but only a build script can tell cargo that a new file appeared in it.

#[expect(clippy::print_stdout, reason = "that is how a build script talks to cargo")]
fn main() {
    println!("cargo:rerun-if-changed=../migrations");
}
