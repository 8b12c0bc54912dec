//! `sqlx::migrate!` embeds the folder, but only a build script can tell cargo that a new file appeared in it.

fn main() {
    println!("cargo:rerun-if-changed=../migrations");
}
