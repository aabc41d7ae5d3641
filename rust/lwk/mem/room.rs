// SPDX-License-Identifier: GPL-2.0
//! What Linux could give, node by node.
#![forbid(unsafe_code)]

use super::nodes;
use crate::{
    logic::{
        claim::NEVER,
        frames::{Pfn, Span, FRAMES_PER_BLOCK},
        memspec::MemSpec,
        node::{NodeId, NodeSet},
        partition::PartitionId,
        refused::Refused,
        spread::Room,
    },
    partition::{Change, STATE},
    sys::page,
    uapi::Refusal,
};
use kernel::{error::Result, prelude::*};

/// What Linux has on a node for the LWK, in blocks.
#[derive(Clone, Copy, Default)]
pub(crate) struct Survey {
    /// Free as a whole.
    pub(crate) free: u64,
    /// The same with those whose pages can be moved.
    pub(crate) movable: u64,
    /// The longest piece of those.
    pub(crate) longest: u64,
    /// How many it could do without.
    pub(crate) spare: u64,
}

/// The costs of all blocks of a span.
pub(super) fn costs(node: &page::Node, span: Span) -> Result<KVVec<u16>> {
    page::settle();
    // CAST: usize has 64 bits.
    let mut costs = KVVec::with_capacity(span.nr_blocks() as usize, GFP_KERNEL)?;
    for nr in 0..u64::from(span.nr_blocks()) {
        let first = Pfn::new(span.first().get() + nr * u64::from(FRAMES_PER_BLOCK));
        costs.push(node.cost(first), GFP_KERNEL)?;
    }
    Ok(costs)
}

/// Looks what there is on a node; goes through all its pages.
///
/// # Errors
///
/// No memory for the answer.
pub(crate) fn survey(id: NodeId) -> Result<Survey> {
    let Some(node) = page::node(id) else {
        return Ok(Survey::default());
    };
    let mut survey = Survey {
        spare: node.spare,
        ..Survey::default()
    };
    let mut run = 0;
    for cost in &costs(&node, node.span)? {
        if *cost == NEVER {
            run = 0;
            continue;
        }
        run += 1;
        survey.movable += 1;
        survey.longest = survey.longest.max(run);
        survey.free += u64::from(*cost == 0);
    }
    Ok(survey)
}

/// Fills in what the partition has and could have of the nodes that the request is about.
pub(super) fn look(id: PartitionId, near: NodeSet, spec: &MemSpec, rooms: &mut [Room]) -> Change {
    for (node, room) in nodes().zip(rooms.iter_mut()) {
        let (has, promised) = {
            let state = STATE.lock();
            let memory = &state.memory;
            (memory.blocks(id, node), memory.promised(id, node))
        };
        *room = Room {
            has,
            promised,
            is_near: near.contains(node),
            exists: page::node(node).is_some(),
            spare: 0,
        };
        if spec.amount(node).is_some() || spec.anywhere().is_some() {
            let survey = survey(node).map_err(super::linux)?;
            room.spare = survey.movable.min(survey.spare);
        }
    }
    Ok(())
}

/// Adds to a refusal the longest piece that there is.
pub(super) fn with_longest(refused: Refused) -> Refused {
    let Some(mut shortage) = refused.memory else {
        return refused;
    };
    if refused.refusal != Refusal::NoMemory {
        return refused;
    }
    shortage.longest = nodes()
        .filter(|node| shortage.node.map_or(true, |only| only == *node))
        .filter_map(|node| survey(node).ok())
        .map(|survey| survey.longest)
        .max()
        .unwrap_or(0);
    Refused::memory(refused.refusal, shortage)
}
