pub mod localdb;
