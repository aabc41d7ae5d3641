// SPDX-License-Identifier: GPL-2.0
//! The kernel's door of LWK CPUs (`rust/lwk/c/defer.c`) as small models of which every state is visited.
//!
//! [`stop`] is stop_machine() with CPUs that are left out, [`catch_up`] what a CPU makes up for on its way in. Each model
//! is also run with one of its rules left out, which must show: a model that cannot fail proves nothing.

mod catch_up;
mod stop;

use std::collections::{HashMap, VecDeque};
use std::fmt::Debug;
use std::hash::Hash;

/// Every state that can be reached, with where each can go.
struct Space<S> {
    states: Vec<S>,
    next: Vec<Vec<usize>>,
}

impl<S: Clone + Eq + Hash + Debug> Space<S> {
    fn explore(first: S, next: impl Fn(&S) -> Vec<S>) -> Self {
        let mut index = HashMap::from([(first.clone(), 0)]);
        let mut space = Space {
            states: vec![first],
            next: Vec::new(),
        };
        let mut queue = VecDeque::from([0]);
        while let Some(at) = queue.pop_front() {
            let mut reached = Vec::new();
            for state in next(&space.states[at]) {
                let number = *index.entry(state.clone()).or_insert_with(|| {
                    space.states.push(state);
                    queue.push_back(space.states.len() - 1);
                    space.states.len() - 1
                });
                reached.push(number);
            }
            space.next.push(reached);
        }
        space
    }

    /// A state for which `is_bad`.
    fn find(&self, is_bad: impl Fn(&S) -> bool) -> Option<&S> {
        self.states.iter().find(|state| is_bad(state))
    }

    /// The states from which no way leads to one that `is_good`: CPUs that only spin are no way.
    fn stuck(&self, is_good: impl Fn(&S) -> bool) -> Vec<&S> {
        let mut before = vec![Vec::new(); self.states.len()];
        for (from, reached) in self.next.iter().enumerate() {
            for to in reached {
                before[*to].push(from);
            }
        }
        let mut can: Vec<bool> = self.states.iter().map(&is_good).collect();
        let mut queue: Vec<usize> = (0..can.len()).filter(|at| can[*at]).collect();
        while let Some(at) = queue.pop() {
            for from in &before[at] {
                if !can[*from] {
                    can[*from] = true;
                    queue.push(*from);
                }
            }
        }
        let states = self.states.iter().zip(can);
        states
            .filter_map(|(state, can)| (!can).then_some(state))
            .collect()
    }
}
