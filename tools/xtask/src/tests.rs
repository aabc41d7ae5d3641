// SPDX-License-Identifier: GPL-2.0
//! What is generated is current, right and compiles.

use std::fs;
use std::mem::offset_of;
use std::path::Path;
use std::process::Command;

use lwk_logic::uapi::{CpuGet, JobCreate, PartitionGet, STRUCTS};

use crate::{consts, gen, header, layout, names};

/// Compiles `source`, which may include the header, and returns the compiler's complaints.
fn complaints(source: &str, flags: &[&str]) -> String {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("lwk.h"), header::text().expect("a header")).expect("written");
    fs::write(dir.path().join("test.c"), source).expect("written");
    let output = Command::new("cc")
        .current_dir(dir.path())
        .args(["-fsyntax-only", "-Wall", "-Wextra", "-Werror"])
        .args(flags)
        .arg("test.c")
        .output()
        .expect("cc runs; the kernel build needs a C compiler too");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.success(), told.is_empty(), "{told}");
    told
}

#[test]
fn committed_files_are_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("a root");
    let stale = gen::stale(root, &gen::files().expect("generated")).expect("readable");
    assert!(stale.is_empty(), "run `cargo xtask gen`: {stale:?}");
}

#[test]
fn the_header_is_c90() {
    let source =
        "#include \"lwk.h\"\n#include \"lwk.h\"\nint main(void) { return LWK_NAME_LEN == 0; }\n";
    assert_eq!(complaints(source, &["-std=c90", "-pedantic"]), "");
}

#[test]
fn c_has_the_layout_of_rust() {
    assert_eq!(
        complaints(&layout::text().expect("a test"), &["-std=gnu11"]),
        ""
    );
}

#[test]
fn the_layout_test_notices_a_moved_field() {
    let right = layout::text().expect("a test");
    let wrong = right.replace("lwk_job_create, job) == 28", "lwk_job_create, job) == 32");
    assert_ne!(right, wrong);
    assert!(complaints(&wrong, &["-std=gnu11"]).contains("lwk_job_create.job"));
}

#[test]
fn computed_offsets_are_those_of_the_compiler() {
    let offset = |name: &str, field: &str| {
        let item = STRUCTS
            .iter()
            .find(|item| item.name == name)
            .expect("a structure");
        let at = item
            .fields
            .iter()
            .position(|found| found.name == field)
            .expect("a field");
        names::offsets(item).expect("a layout")[at]
    };
    assert_eq!(offset("JobCreate", "job"), offset_of!(JobCreate, job));
    assert_eq!(
        offset("PartitionGet", "name"),
        offset_of!(PartitionGet, name)
    );
    assert_eq!(offset("CpuGet", "faults"), offset_of!(CpuGet, faults));
    assert_eq!(
        offset("CpuGet", "guest_comm"),
        offset_of!(CpuGet, guest_comm)
    );
}

#[test]
fn every_constant_is_documented() {
    for constant in consts::all().expect("all constants are listed") {
        assert!(!constant.doc.is_empty(), "{}", constant.name);
    }
}

#[test]
fn names_of_rust_become_names_of_c() {
    assert_eq!(
        names::c_doc("Slots in [`CpuGet`], see `cpus_ptr`."),
        "Slots in struct lwk_cpu_get, see cpus_ptr."
    );
    assert_eq!(names::c_doc("Out: `CPU_*`."), "Out: LWK_CPU_*.");
    assert_eq!(
        names::c_doc("[`PartitionGet::flags`]: x"),
        "flags of struct lwk_partition_get: x"
    );
    assert_eq!(
        names::page_doc("one for each `EntryKind`"),
        "one for each `enum lwk_entry_kind`"
    );
}

#[test]
fn a_changed_missing_or_surplus_file_is_named() {
    let root = tempfile::tempdir().expect("a folder");
    let files = gen::files().expect("generated");
    gen::write(root.path(), &files).expect("written");
    assert!(gen::stale(root.path(), &files).expect("read").is_empty());
    fs::write(root.path().join("docs/abi.md"), "edited").expect("written");
    fs::remove_file(root.path().join("tools/man/yod.1")).expect("removed");
    fs::write(root.path().join("tools/man/old.1"), "").expect("written");
    let stale = gen::stale(root.path(), &files).expect("read");
    let stale: Vec<_> = stale
        .iter()
        .map(|path| path.to_str().expect("text"))
        .collect();
    assert_eq!(stale, ["docs/abi.md", "tools/man/old.1", "tools/man/yod.1"]);
    gen::write(root.path(), &files).expect("written");
    assert!(gen::stale(root.path(), &files).expect("read").is_empty());
}
