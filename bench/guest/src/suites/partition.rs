// SPDX-License-Identifier: GPL-2.0
//! Partitions that are made and changed while the machine runs: not built yet.

use crate::spec::{NotBuilt, Suite};

/// The suite.
pub(super) const SUITE: Suite = Suite {
    name: "partition",
    about: "partitions: make, change and delete at run time",
    benches: &[],
    not_built: &[
        NotBuilt {
            bench: "create",
            variant: "1cpu",
        },
        NotBuilt {
            bench: "create",
            variant: "2cpus",
        },
        NotBuilt {
            bench: "delete",
            variant: "1cpu",
        },
        NotBuilt {
            bench: "delete",
            variant: "2cpus",
        },
        NotBuilt {
            bench: "resize",
            variant: "grow",
        },
        NotBuilt {
            bench: "resize",
            variant: "shrink",
        },
        NotBuilt {
            bench: "create-delete",
            variant: "others-disturbed",
        },
    ],
};
