//! The program `social-wallet`.

fn main() {}
