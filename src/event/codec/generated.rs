//! Is `wire.rs` what `distribution/proto/event.proto` says?

use std::{fs, path::Path};

const HEAD: &str = "\
// `G`enerated from distribution/proto/event.proto by the test in generated.rs. Change that file, then run
// UPDATE_EXPECT=1 cargo test --lib codec::generated

";

#[test]
fn the_wire_types_are_those_of_the_schema() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let schema = protox::compile(["event.proto"], [root.join("distribution/proto")]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    prost_build::Config::new()
        .out_dir(folder.path())
        .btree_map(["."])
        .bytes(["."])
        .compile_fds(schema)
        .unwrap();
    let generated = fs::read(folder.path().join("event.rs")).unwrap();
    let generated = format!("{HEAD}{}", String::from_utf8(generated).unwrap());
    expect_test::expect_file!["wire.rs"].assert_eq(&generated);
}
