// SPDX-License-Identifier: GPL-2.0
//! Call paths as a tree of functions, with instructions at its nodes.

use std::collections::{BTreeMap, HashMap};

use crate::symbols::{Function, Symbols};

/// A path of functions, outermost first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Path(u32);

impl Path {
    /// No function.
    pub(crate) const EMPTY: Self = Self(u32::MAX);
}

/// All paths that were seen. They stay, the instructions are of one window.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
    children: HashMap<(Path, Function), Path>,
    /// Those with instructions.
    used: Vec<Path>,
}

#[derive(Debug)]
struct Node {
    parent: Path,
    function: Function,
    instructions: u64,
}

impl Tree {
    /// The path one function further in.
    pub(crate) fn child(&mut self, parent: Path, function: Function) -> Path {
        *self.children.entry((parent, function)).or_insert_with(|| {
            self.nodes.push(Node {
                parent,
                function,
                instructions: 0,
            });
            // CAST: A window has not four thousand million paths.
            Path(self.nodes.len() as u32 - 1)
        })
    }

    /// The innermost function of a path.
    pub(crate) fn function(&self, path: Path) -> Option<Function> {
        Some(self.node(path)?.function)
    }

    /// Adds instructions to a path.
    pub(crate) fn add(&mut self, path: Path, nr: u64) {
        // CAST: A path is an index.
        if let Some(node) = self.nodes.get_mut(path.0 as usize) {
            if node.instructions == 0 {
                self.used.push(path);
            }
            node.instructions += nr;
        }
    }

    /// Forgets the instructions.
    pub(crate) fn clear(&mut self) {
        for path in self.used.drain(..) {
            // CAST: A path is an index.
            if let Some(node) = self.nodes.get_mut(path.0 as usize) {
                node.instructions = 0;
            }
        }
    }

    /// Instructions by function.
    pub(crate) fn functions(&self, symbols: &Symbols) -> BTreeMap<String, u64> {
        let mut functions = BTreeMap::new();
        for node in self.used.iter().filter_map(|&path| self.node(path)) {
            let name = symbols.name(node.function).to_owned();
            *functions.entry(name).or_default() += node.instructions;
        }
        functions
    }

    /// Instructions by path, each written behind `root` with semicolons.
    pub(crate) fn folded(&self, root: &str, symbols: &Symbols) -> BTreeMap<String, u64> {
        let mut folded = BTreeMap::new();
        for &path in &self.used {
            let mut names = Vec::new();
            let mut instructions = None;
            let mut at = self.node(path);
            while let Some(node) = at {
                names.push(symbols.name(node.function));
                instructions.get_or_insert(node.instructions);
                at = self.node(node.parent);
            }
            names.push(root);
            names.reverse();
            *folded.entry(names.join(";")).or_default() += instructions.unwrap_or(0);
        }
        folded
    }

    fn node(&self, path: Path) -> Option<&Node> {
        // CAST: A path is an index.
        self.nodes.get(path.0 as usize)
    }
}
