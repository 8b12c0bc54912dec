//! Would talk to the network by itself.

use juggernaut_guest::{Assignment, Evidence, Failure};

juggernaut_guest::role!(run);

fn run(_: Assignment) -> Result<Evidence, Failure> {
    match std::net::TcpStream::connect("127.0.0.1:1") {
        Ok(_) => Err(Failure::final_("connected")),
        Err(error) => Err(Failure::final_(error.to_string())),
    }
}
