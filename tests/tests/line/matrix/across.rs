//! Whatever comes in by one protocol goes out by all others: a register for each of them at one hub.

use std::fs;

use super::shop::{SCHEMA, entities, id, init, name, note};
use crate::stories::support::{Hub, Register, count, pos, same};
use crate::twins::Protocol;

/// So often everybody syncs until it has been everywhere: what one sends, those that came before it get in the next round.
const ROUNDS: usize = 5;

/// A register that speaks a protocol; the hub's own when there is none.
fn register(hub: &Hub, folder: &std::path::Path, protocol: Option<Protocol>, dialect: &str) -> Register {
    let called = format!("{}{dialect}", protocol.map_or("hub", name));
    let folder = folder.join(&called);
    fs::create_dir(&folder).unwrap();
    let register = Register::new(&called, &folder);
    pos(&register.store).execute_batch(SCHEMA).unwrap();
    match protocol {
        None => drop(register.init(&hub.url).good()),
        Some(Protocol::Nuqta) => init(&register, Protocol::Nuqta, &hub.url, "", &[]),
        Some(protocol) => {
            let prefix = if protocol == Protocol::Events { "/events" } else { "" };
            let wire = if dialect.is_empty() { String::new() } else { format!("[wire]\ndialect = '{dialect}'\n") };
            let words = format!("{wire}{}", entities(protocol, "entities"));
            let token = hub.user_token(&called);
            init(&register, protocol, &format!("{}{prefix}", hub.url), &words, &["--token", &token]);
        }
    }
    register
}

#[test]
fn a_change_by_each_protocol_arrives_by_all_others() {
    let folder = tempfile::Builder::new().prefix("across-").tempdir().unwrap();
    let file = folder.path().join("protocols.toml");
    let others = [Protocol::Auraflow, Protocol::Events, Protocol::Booky, Protocol::Insight];
    let words: String = others.iter().map(|protocol| entities(*protocol, &format!("{}.entities", name(*protocol)))).collect();
    fs::write(&file, format!("[booky]\nlimit = false\n{words}")).unwrap();
    let hub = Hub::start(&folder.path().join("hub.db"), &["--open-registration", "--protocols", file.to_str().unwrap()]);
    let mut registers = vec![register(&hub, folder.path(), None, ""), register(&hub, folder.path(), Some(Protocol::Nuqta), "")];
    registers.extend(others.map(|protocol| register(&hub, folder.path(), Some(protocol), "")));
    registers.push(register(&hub, folder.path(), Some(Protocol::Events), "camel"));

    for (n, register) in registers.iter().enumerate() {
        let (id, n) = (id(n as u32), n + 1);
        pos(&register.store)
            .execute_batch(&format!(
                "INSERT INTO orders VALUES ('{id}', 'ORD-{n}', {n} + 0.5, 'of {0}'); INSERT INTO order_items VALUES ('{id}-1', '{id}', 'tea', {n})",
                register.name
            ))
            .unwrap();
    }
    go_everywhere(&registers);
    assert_eq!(count(&pos(&registers[0].store), "SELECT count(*) FROM order_items JOIN orders ON orders.id = order_id"), 7);
    // Each writes on what another one made.
    for (n, register) in registers.iter().enumerate() {
        let theirs = id(((n + 1) % registers.len()) as u32);
        pos(&register.store).execute("UPDATE orders SET note = 'seen by ' || ?1 WHERE id = ?2", (&register.name, theirs)).unwrap();
    }
    go_everywhere(&registers);
    for (n, register) in registers.iter().enumerate() {
        let theirs = ((n + 1) % registers.len()) as u32;
        assert_eq!(note(&registers[0], theirs), format!("seen by {}", register.name));
    }
    let entries = "SELECT count(*) FROM change_log WHERE entity_type = 'orders'";
    assert_eq!(hub.number(entries), 14, "each change is in the log once");
}

#[track_caller]
fn go_everywhere(registers: &[Register]) {
    for _ in 0..ROUNDS {
        for register in registers {
            register.sync();
        }
    }
    for register in registers {
        same(&registers[0].store, &register.store);
    }
}
