// SPDX-License-Identifier: GPL-2.0
//! How many blocks of which node a partition is to have, where it asks for an amount of each or of all together.

use super::frames::BLOCK_BYTES;
use super::memspec::{Amount, MemSpec};
use super::node::{NodeId, MAX_NODES};

/// What is known of a node, in blocks of 2 MiB.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Room {
    /// What the partition has there.
    pub has: u64,
    /// What of that was promised to jobs, which keep it.
    pub promised: u64,
    /// What Linux could give.
    pub spare: u64,
    /// Whether it is among the nodes to begin with: those that the partition has CPUs of.
    pub is_near: bool,
    /// Whether it is a node that the LWK can have memory of.
    pub exists: bool,
}

impl Room {
    fn most(&self) -> u64 {
        self.has.saturating_add(self.spare)
    }
}

/// Why a partition cannot have what it asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SpreadError {
    /// There is no such node, or nothing to have there.
    NoNode(NodeId),
    /// There is not enough.
    Short(Shortage),
    /// Jobs were promised some of what is to go.
    Promised {
        /// Where; none for all together.
        node: Option<NodeId>,
        /// How many blocks.
        promised: u64,
    },
}

/// How much there is less than was asked for, in blocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shortage {
    /// Where; none for all nodes together that were not named.
    pub node: Option<NodeId>,
    /// What was asked for.
    pub asked: u64,
    /// What there is.
    pub found: u64,
    /// The longest piece that Linux could give there.
    pub longest: u64,
}

/// Sets `shares`, one for each node as in `rooms`, to what the partition is to have there. Nodes without a room do not
/// exist.
///
/// # Errors
///
/// See [`SpreadError`].
pub fn spread(spec: &MemSpec, rooms: &[Room], shares: &mut [u64]) -> Result<(), SpreadError> {
    let (mut open_most, mut open_has) = (0_u64, 0_u64);
    let nodes = (0..MAX_NODES).filter_map(NodeId::new);
    if let Some((node, _)) = spec
        .amounts()
        .find(|(node, _)| usize::from(node.get()) >= rooms.len())
    {
        return Err(SpreadError::NoNode(node));
    }
    for ((node, room), share) in nodes.zip(rooms).zip(shares.iter_mut()) {
        *share = room.has;
        let Some(amount) = spec.amount(node) else {
            open_most = open_most.saturating_add(room.most());
            open_has = open_has.saturating_add(room.has);
            continue;
        };
        if !room.exists {
            return Err(SpreadError::NoNode(node));
        }
        *share = blocks(amount, room.most());
        check(Some(node), *share, room.most(), room.promised)?;
    }
    let Some(amount) = spec.anywhere() else {
        return Ok(());
    };
    let wanted = blocks(amount, open_most);
    check(None, wanted, open_most, 0)?;
    let open = |nr: usize| spec_is_open(spec, nr);
    if wanted >= open_has {
        grow(rooms, shares, &open, wanted - open_has);
        return Ok(());
    }
    let left = shrink(rooms, shares, &open, open_has - wanted);
    if left > 0 {
        let promised = wanted + left;
        return Err(SpreadError::Promised {
            node: None,
            promised,
        });
    }
    Ok(())
}

fn spec_is_open(spec: &MemSpec, nr: usize) -> bool {
    let node = u16::try_from(nr).ok().and_then(NodeId::new);
    node.is_some_and(|node| spec.amount(node).is_none())
}

fn blocks(amount: Amount, most: u64) -> u64 {
    match amount {
        Amount::All => most,
        Amount::Bytes(bytes) => bytes.div_ceil(BLOCK_BYTES),
    }
}

fn check(node: Option<NodeId>, asked: u64, most: u64, promised: u64) -> Result<(), SpreadError> {
    if asked > most {
        return Err(SpreadError::Short(Shortage {
            node,
            asked,
            found: most,
            longest: 0,
        }));
    }
    if asked < promised {
        return Err(SpreadError::Promised { node, promised });
    }
    Ok(())
}

/// Adds blocks to nodes that are open, evenly, near ones first; there is room for them.
fn grow(rooms: &[Room], shares: &mut [u64], open: &dyn Fn(usize) -> bool, mut extra: u64) {
    for is_near in [true, false] {
        while extra > 0 {
            let can = |nr: usize, room: &Room, share: u64| {
                open(nr) && room.is_near == is_near && share < room.most()
            };
            let some = rooms.iter().zip(shares.iter()).enumerate();
            let count = some.filter(|(nr, (room, share))| can(*nr, room, **share));
            let count = count.map(|_| 1_u64).sum::<u64>();
            if count == 0 {
                break;
            }
            let part = extra.div_ceil(count);
            for (nr, (room, share)) in rooms.iter().zip(shares.iter_mut()).enumerate() {
                if can(nr, room, *share) {
                    let more = part.min(room.most() - *share).min(extra);
                    *share += more;
                    extra -= more;
                }
            }
        }
    }
}

/// Takes blocks from nodes that are open, far ones first, and returns how many are missing yet.
fn shrink(rooms: &[Room], shares: &mut [u64], open: &dyn Fn(usize) -> bool, less: u64) -> u64 {
    let mut left = less;
    for is_near in [false, true] {
        for (nr, (room, share)) in rooms.iter().zip(shares.iter_mut()).enumerate() {
            if open(nr) && room.is_near == is_near {
                let fewer = left.min(share.saturating_sub(room.promised));
                *share -= fewer;
                left -= fewer;
            }
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn room(has: u64, promised: u64, spare: u64, is_near: bool) -> Room {
        Room {
            has,
            promised,
            spare,
            is_near,
            exists: true,
        }
    }

    fn shares(text: &str, some: &[Room]) -> Result<Vec<u64>, SpreadError> {
        let mut spec = MemSpec::EMPTY;
        spec.parse_into(text.as_bytes()).expect("a good text");
        let mut shares = std::vec![0; some.len()];
        spread(&spec, some, &mut shares)?;
        Ok(shares)
    }

    #[test]
    fn named_nodes_get_what_they_are_asked_for_in_whole_blocks() {
        let rooms = [room(0, 0, 100, true), room(7, 0, 100, false)];
        assert_eq!(shares("0:5M", &rooms), Ok([3, 7].into()));
        assert_eq!(shares("0:all,1:2M", &rooms), Ok([100, 1].into()));
        assert_eq!(
            shares("1:1G", &rooms),
            Err(SpreadError::Short(Shortage {
                node: NodeId::new(1),
                asked: 512,
                found: 107,
                longest: 0
            }))
        );
        let hole = [rooms[0], Room::default()];
        assert!(matches!(shares("1:2M", &hole), Err(SpreadError::NoNode(_))));
        assert_eq!(
            shares("5:2M", &rooms),
            Err(SpreadError::NoNode(NodeId::new(5).expect("a node")))
        );
    }

    #[test]
    fn the_rest_is_spread_evenly_over_near_nodes_then_over_others() {
        let rooms = [
            room(0, 0, 10, true),
            room(0, 0, 100, true),
            room(0, 0, 100, false),
        ];
        assert_eq!(shares("10M", &rooms), Ok([3, 2, 0].into()));
        assert_eq!(shares("80M", &rooms), Ok([10, 30, 0].into()));
        assert_eq!(shares("300M", &rooms), Ok([10, 100, 40].into()));
        assert_eq!(shares("all", &rooms), Ok([10, 100, 100].into()));
        assert_eq!(shares("1:4M,8M", &rooms), Ok([4, 2, 0].into()));
        let short = shares("1G", &rooms).expect_err("too much");
        assert!(
            matches!(
                short,
                SpreadError::Short(Shortage {
                    node: None,
                    asked: 512,
                    found: 210,
                    ..
                })
            ),
            "{short:?}"
        );
    }

    #[test]
    fn less_is_taken_from_far_nodes_first_but_not_from_jobs() {
        let rooms = [room(10, 4, 0, true), room(10, 9, 0, false)];
        assert_eq!(shares("30M", &rooms), Ok([6, 9].into()));
        assert_eq!(shares("26M", &rooms), Ok([4, 9].into()));
        assert_eq!(
            shares("24M", &rooms),
            Err(SpreadError::Promised {
                node: None,
                promised: 13
            })
        );
        assert!(matches!(
            shares("0:6M", &rooms),
            Err(SpreadError::Promised { promised: 4, .. })
        ));
        assert_eq!(shares("0:8M", &rooms), Ok([4, 10].into()));
    }
}
