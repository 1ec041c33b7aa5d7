//! JSON-valued columns: a merge of three texts, member by member.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::policy::Lists;

/// Values nested deeper are taken as a whole.
const DEPTH_MAX: u32 = 64;

/// The merged text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// JSON; what nobody touched keeps its form.
    pub text: String,
    /// Whether both sides gave one member different values, so that the newer one was taken.
    pub disputed: bool,
}

/// Merges what `mine` and `theirs` made of `base`; without a base, or with one that is no JSON, everything counts as added. `None`
/// when one of the sides is neither an object nor a list.
pub fn merge(base: Option<&str>, mine: &str, theirs: &str, lists: Lists, mine_is_newer: bool) -> Option<Merged> {
    let (mine, theirs) = (parse(mine, 0)?, parse(theirs, 0)?);
    let same_kind = matches!((&mine, &theirs), (Node::Object(_), Node::Object(_)) | (Node::List(_), Node::List(_)));
    if !same_kind {
        return None;
    }
    let base = base.and_then(|text| parse(text, 0));
    let mut merge = Merge { lists, mine_is_newer, disputed: false };
    let node = merge.node(base.as_ref(), &mine, &theirs);
    let mut text = String::new();
    node.write(&mut text);
    Some(Merged { text, disputed: merge.disputed })
}

#[derive(Clone, Debug)]
enum Node {
    Object(Vec<(String, Node)>),
    List(Vec<Node>),
    /// A number, a text, a word, or what is nested too deep.
    Leaf(String),
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Object(a), Self::Object(b)) => {
                a.len() == b.len() && a.iter().all(|(name, value)| member(b, name).is_some_and(|other| other == value))
            }
            (Self::List(a), Self::List(b)) => a == b,
            (Self::Leaf(a), Self::Leaf(b)) => a == b || text_of(a).is_some_and(|a| Some(a) == text_of(b)),
            _ => false,
        }
    }
}

fn text_of(leaf: &str) -> Option<String> {
    leaf.starts_with('"').then(|| serde_json::from_str(leaf).ok()).flatten()
}

fn member<'a>(object: &'a [(String, Node)], name: &str) -> Option<&'a Node> {
    object.iter().find(|(own, _)| own == name).map(|(_, value)| value)
}

impl Node {
    fn write(&self, out: &mut String) {
        match self {
            Self::Leaf(text) => out.push_str(text),
            Self::List(items) => {
                out.push('[');
                for (place, item) in items.iter().enumerate() {
                    out.push_str(if place > 0 { "," } else { "" });
                    item.write(out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (place, (name, value)) in members.iter().enumerate() {
                    out.push_str(if place > 0 { "," } else { "" });
                    out.push_str(&serde_json::to_string(name).expect("a text encodes"));
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

fn parse(text: &str, depth: u32) -> Option<Node> {
    let text = text.trim();
    match text.as_bytes().first()? {
        b'{' if depth < DEPTH_MAX => {
            let Members(members) = serde_json::from_str(text).ok()?;
            let mut nodes: Vec<(String, Node)> = Vec::with_capacity(members.len());
            for (name, value) in members {
                // No two readers agree on a member that is there twice.
                if member(&nodes, &name).is_some() {
                    return None;
                }
                nodes.push((name, parse(value.get(), depth + 1)?));
            }
            Some(Node::Object(nodes))
        }
        b'[' if depth < DEPTH_MAX => {
            let items: Vec<Box<RawValue>> = serde_json::from_str(text).ok()?;
            items.iter().map(|item| parse(item.get(), depth + 1)).collect::<Option<_>>().map(Node::List)
        }
        _ => {
            let checked: &RawValue = serde_json::from_str(text).ok()?;
            Some(Node::Leaf(checked.get().to_owned()))
        }
    }
}

/// The members of an object in their order, values unread, so that no number loses a digit.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        input.deserialize_map(Each)
    }
}

struct Merge {
    lists: Lists,
    mine_is_newer: bool,
    disputed: bool,
}

impl Merge {
    fn node(&mut self, base: Option<&Node>, mine: &Node, theirs: &Node) -> Node {
        // Two lists that both sides made longer by the same are equal, and joined they hold it twice.
        let settled = mine == theirs && (base.is_none() || self.lists == Lists::Union || matches!(mine, Node::Leaf(_)));
        if settled || base == Some(mine) {
            return theirs.clone();
        }
        match (mine, theirs) {
            (Node::Object(mine), Node::Object(theirs)) => {
                let base = if let Some(Node::Object(base)) = base { base.as_slice() } else { &[] };
                Node::Object(self.members(base, mine, theirs))
            }
            (Node::List(mine), Node::List(theirs)) => {
                let base = if let Some(Node::List(base)) = base { base.as_slice() } else { &[] };
                Node::List(match self.lists {
                    Lists::Union => union(base, mine, theirs),
                    Lists::Concat => concat(base, mine, theirs),
                })
            }
            _ if base == Some(theirs) => mine.clone(),
            _ => {
                self.disputed = true;
                if self.mine_is_newer { mine.clone() } else { theirs.clone() }
            }
        }
    }

    fn members(&mut self, base: &[(String, Node)], mine: &[(String, Node)], theirs: &[(String, Node)]) -> Vec<(String, Node)> {
        let added = mine.iter().map(|(name, _)| name).filter(|name| member(theirs, name).is_none());
        let names: Vec<&String> = theirs.iter().map(|(name, _)| name).chain(added).collect();
        let mut merged = Vec::with_capacity(names.len());
        for name in names {
            let (was, here, there) = (member(base, name), member(mine, name), member(theirs, name));
            let kept = match (here, there) {
                (Some(here), Some(there)) => Some(self.node(was, here, there)),
                // Taken out on one side: it goes, unless the other side changed it meanwhile.
                (Some(left), None) | (None, Some(left)) if was == Some(left) => None,
                (Some(left), None) | (None, Some(left)) => {
                    self.disputed |= was.is_some();
                    Some(left.clone())
                }
                (None, None) => None,
            };
            merged.extend(kept.map(|node| (name.clone(), node)));
        }
        merged
    }
}

/// Theirs without what mine took out, and what mine added; every element once.
fn union(base: &[Node], mine: &[Node], theirs: &[Node]) -> Vec<Node> {
    let mut merged: Vec<Node> = Vec::new();
    let kept = theirs.iter().filter(|item| !base.contains(item) || mine.contains(item));
    let added = mine.iter().filter(|item| !base.contains(item) || theirs.contains(item));
    for item in kept.chain(added) {
        if !merged.contains(item) {
            merged.push(item.clone());
        }
    }
    merged
}

/// Theirs without what mine took out, then what mine added, equal elements too.
fn concat(base: &[Node], mine: &[Node], theirs: &[Node]) -> Vec<Node> {
    let mut taken_out = difference(base, mine);
    let mut merged: Vec<Node> = Vec::new();
    for item in theirs {
        match taken_out.iter().position(|out| *out == item) {
            Some(place) => drop(taken_out.swap_remove(place)),
            None => merged.push(item.clone()),
        }
    }
    merged.extend(difference(mine, base).into_iter().cloned());
    merged
}

/// What `list` has more than `other`, counted, in its order.
fn difference<'a>(list: &'a [Node], other: &[Node]) -> Vec<&'a Node> {
    let mut left: Vec<&Node> = other.iter().collect();
    let mut more = Vec::new();
    for item in list {
        match left.iter().position(|known| *known == item) {
            Some(place) => drop(left.swap_remove(place)),
            None => more.push(item),
        }
    }
    more
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(base: Option<&str>, mine: &str, theirs: &str, expected: Option<(&str, bool)>) {
        let merged = merge(base, mine, theirs, Lists::Union, true);
        let expected = expected.map(|(text, disputed)| Merged { text: text.to_owned(), disputed });
        assert_eq!(merged, expected, "{base:?} {mine} {theirs}");
    }

    #[test]
    fn members_merge_at_any_depth() {
        check(Some(r#"{"a":1}"#), r#"{"a":1,"b":2}"#, r#"{"a":1,"c":3}"#, Some((r#"{"a":1,"c":3,"b":2}"#, false)));
        check(
            Some(r#"{"a":{"x":1,"y":1}}"#),
            r#"{"a":{"x":2,"y":1}}"#,
            r#"{"a":{"x":1,"y":3}}"#,
            Some((r#"{"a":{"x":2,"y":3}}"#, false)),
        );
        check(Some(r#"{"a":1,"b":1}"#), r#"{"b":1}"#, r#"{"a":1,"b":2}"#, Some((r#"{"b":2}"#, false)));
        check(None, r#"{"a":1}"#, r#"{"b":2}"#, Some((r#"{"b":2,"a":1}"#, false)));
        check(Some("no json"), r#"{"a":1}"#, r#"{"b":2}"#, Some((r#"{"b":2,"a":1}"#, false)));
    }

    #[test]
    fn what_both_changed_is_disputed_and_nothing_changed_is_dropped() {
        check(Some(r#"{"a":1}"#), r#"{"a":2}"#, r#"{"a":3}"#, Some((r#"{"a":2}"#, true)));
        check(Some(r#"{"a":1}"#), "{}", r#"{"a":3}"#, Some((r#"{"a":3}"#, true)));
        check(Some(r#"{"a":1}"#), r#"{"a":3}"#, "{}", Some((r#"{"a":3}"#, true)));
        check(Some(r#"{"a":1}"#), r#"{"a":[1]}"#, r#"{"a":{"b":1}}"#, Some((r#"{"a":[1]}"#, true)));
        let older = merge(Some(r#"{"a":1}"#), r#"{"a":2}"#, r#"{"a":3}"#, Lists::Union, false).unwrap();
        assert_eq!((older.text.as_str(), older.disputed), (r#"{"a":3}"#, true));
    }

    #[test]
    fn lists_are_united_or_joined() {
        check(Some(r#"["a","b"]"#), r#"["a","b","c"]"#, r#"["b","d"]"#, Some((r#"["b","d","c"]"#, false)));
        check(Some(r#"["a"]"#), r#"["a","b"]"#, r#"["a","b"]"#, Some((r#"["a","b"]"#, false)));
        check(Some("[1]"), "[1,[2]]", r#"[1,{"x":1}]"#, Some((r#"[1,{"x":1},[2]]"#, false)));
        let joined = |base, mine, theirs| merge(base, mine, theirs, Lists::Concat, true).unwrap().text;
        assert_eq!(joined(Some("[1]"), "[1,2]", "[1,2,3]"), "[1,2,3,2]");
        assert_eq!(joined(Some("[1,1]"), "[1]", "[1,1,5]"), "[1,5]");
        assert_eq!(joined(None, "[1]", "[2]"), "[2,1]");
    }

    #[test]
    fn numbers_keep_their_digits_and_texts_their_form() {
        let mine = r#"{"n": 123456789012345678901234567890, "e": "\u0041", "r": 1.10}"#;
        let theirs = r#"{"n": 123456789012345678901234567890, "e": "A", "r": 1.10, "x": null}"#;
        let text = r#"{"n":123456789012345678901234567890,"e":"A","r":1.10,"x":null}"#;
        check(None, mine, theirs, Some((text, false)));
    }

    #[test]
    fn what_is_no_object_and_no_list_is_left_to_others() {
        check(None, "1", "2", None);
        check(None, "{}", "[]", None);
        check(None, "{}", "", None);
        check(None, r#"{"a":1,"a":2}"#, "{}", None);
        check(None, "{", "{}", None);
        let deep = "[".repeat(5000) + &"]".repeat(5000);
        check(None, &deep, "[]", Some((&deep, false)));
    }
}
