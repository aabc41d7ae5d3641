// SPDX-License-Identifier: GPL-2.0
//! Names of users, from `/etc/passwd` only: a static program cannot load the C library's name services.

use std::collections::BTreeMap;

/// User names by id.
#[derive(Debug, Clone, Default)]
pub struct Users(BTreeMap<u32, String>);

impl Users {
    /// Reads `/etc/passwd`; without it every user is a number.
    pub fn read() -> Self {
        std::fs::read("/etc/passwd")
            .map(|text| Self::parse(&String::from_utf8_lossy(&text)))
            .unwrap_or_default()
    }

    /// Parses passwd(5); of two names for one id the first counts, as for the C library.
    pub fn parse(text: &str) -> Self {
        let mut names = BTreeMap::new();
        for line in text.lines() {
            let mut fields = line.split(':');
            let (name, uid) = (fields.next(), fields.nth(1));
            if let (Some(name), Some(Ok(uid))) = (name, uid.map(str::parse)) {
                names.entry(uid).or_insert_with(|| name.to_owned());
            }
        }
        Self(names)
    }

    /// The user's name, or the number.
    pub fn name(&self, uid: u32) -> String {
        self.0.get(&uid).cloned().unwrap_or_else(|| uid.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_users_have_names_and_others_numbers() {
        let users = Users::parse(
            "root:x:0:0:root:/root:/bin/sh\n# note\ntoor:x:0:0::/:\nbad:x:\nann:x:1000:1::/:\n",
        );
        assert_eq!(users.name(0), "root");
        assert_eq!(users.name(1000), "ann");
        assert_eq!(users.name(7), "7");
    }
}
