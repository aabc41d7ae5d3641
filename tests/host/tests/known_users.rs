// SPDX-License-Identifier: GPL-2.0
//! `scripts/known-users` finds who uses what the hooks change the meaning of, and nothing else.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const PLANTED: &str = r#"
/* cpu_active_mask in a comment, and
 * flush_tlb_all() in a longer one. */
#include <linux/cpu_active_mask.h>
void flush_tlb_all(void);
EXPORT_SYMBOL_GPL(stop_machine);
static const char *text = "on_each_cpu";
struct ops planted_ops = { .flush_tlb_all = planted_flush };

static int __init
planted(struct cpumask *mask)
{
	// stop_machine() here, too
	return ops->stop_machine(mask);
}

SYSCALL_DEFINE1(planted_call, int, cpu)
{
	return cpumask_test_cpu(cpu, cpu_active_mask); /* a user */
}

#define planted_macro(f) \
	on_each_cpu(f, NULL, 1)
"#;

fn run(tree: &Path) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/known-users");
    Command::new(script).arg(tree).output().expect("it runs")
}

#[test]
fn a_new_user_is_named_and_fails_the_gate() {
    let tree = tempfile::tempdir().expect("a directory");
    let dir = tree.path().join("kernel/sched");
    fs::create_dir_all(&dir).expect("a directory");
    fs::write(dir.join("planted.c"), PLANTED).expect("a file");
    let output = run(tree.path());
    let text = String::from_utf8_lossy(&output.stdout);
    let found: Vec<&str> = text
        .lines()
        .skip_while(|line| !line.starts_with("not named"))
        .skip(1)
        .collect();
    assert!(!output.status.success());
    assert_eq!(
        found,
        [
            "cpu_active_mask kernel/sched/planted.c:planted_call",
            "on_each_cpu kernel/sched/planted.c:planted_macro",
        ]
    );
}

#[test]
fn a_tree_without_any_is_no_success() {
    let tree = tempfile::tempdir().expect("a directory");
    fs::create_dir_all(tree.path().join("kernel/sched")).expect("a directory");
    let output = run(tree.path());
    assert!(!output.status.success());
}
