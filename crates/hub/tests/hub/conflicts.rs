//! Policies, roles, clocks, the conflict log, and what people make of it.

use serde_json::{Value, json};
use tillsync_hub::Options;
use tillsync_hub::database::Terms;

use crate::support::{DAY, Device, Shop, bearer, event, verdicts};

/// A row that A made and changed twice while B, who saw only the first version, changed it too.
struct Dispute {
    shop: Shop,
    a: Device,
    b: Device,
    answer: Value,
}

/// B pushes `mine` at 7 against the `theirs` that A wrote at 5; both know `{id: 1, price: 2, name: x}`. Gives B's answer.
async fn dispute(policies: Value, mine: Value) -> Dispute {
    dispute_in(Shop::open().await, "register", policies, mine).await
}

async fn dispute_in(shop: Shop, role: &str, policies: Value, mine: Value) -> Dispute {
    let (a, b) = (shop.device("A").await, device(&shop, "B", role).await);
    shop.push(&a, &[event("create", "1", None, &[], json!({ "id": 1, "price": 2, "name": "x" }))]).await;
    shop.push(&a, &[event("update", "1", Some(1), &["price"], json!({ "id": 1, "price": 9, "name": "x" }))]).await;
    let fields = ["price", "name"].into_iter().filter(|field| !mine[field].is_null()).collect::<Vec<_>>();
    let operation = if mine.is_null() { "delete" } else { "update" };
    let mut row = json!({ "id": 1, "price": 2, "name": "x" });
    for field in &fields {
        row[field] = mine[field].clone();
    }
    let mut change = event(operation, "1", Some(1), &fields, if mine.is_null() { mine } else { row });
    change["timestamp"] = json!(7);
    let answer = push(&shop, &b, &json!({ "cursorId": 0, "policies": policies, "changes": [change] })).await;
    Dispute { shop, a, b, answer }
}

async fn device(shop: &Shop, name: &str, role: &str) -> Device {
    let (status, answer) = shop.post("/sync/register", &json!({ "name": name, "role": role })).await;
    assert_eq!((status, &answer["device"]["role"]), (201, &json!(role)), "{answer}");
    Device::from(&answer)
}

async fn push(shop: &Shop, device: &Device, body: &Value) -> Value {
    let (status, answer) = shop.ask("POST", "/sync/push", &device.headers(), body.to_string()).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

async fn list(shop: &Shop, device: &Device, query: &str) -> Vec<Value> {
    let (status, answer) = shop.ask("GET", &format!("/sync/conflicts{query}"), &device.headers(), "").await;
    assert_eq!(status, 200, "{answer}");
    answer["conflicts"].as_array().unwrap().clone()
}

async fn resolve(shop: &Shop, device: &Device, id: i64, body: Value) -> (u16, Value) {
    shop.ask("POST", &format!("/sync/conflicts/{id}/resolve"), &device.headers(), body.to_string()).await
}

async fn row(shop: &Shop) -> Value {
    let reader = shop.device("reader").await;
    shop.pull(&reader, json!({})).await["changes"].as_array().unwrap().last().unwrap()["data"].clone()
}

#[tokio::test]
async fn the_pushers_policy_decides() {
    for (policy, price) in [("latest", 3), ("server", 9), ("client", 3), ("manager", 3), ("sum", 10), ("json", 3), ("fill", 3)] {
        let Dispute { shop, answer, .. } = dispute(json!({ "products": { "policy": policy } }), json!({ "price": 3 })).await;
        assert_eq!(row(&shop).await["price"], price, "{policy}: {answer}");
        assert_eq!(answer["results"][0]["conflict"]["rules"][0]["rule"], policy);
    }
    let unknown = json!({ "changes": [], "policies": { "products": { "policy": "newest" } } });
    let shop = Shop::open().await;
    let a = shop.device("A").await;
    let (status, answer) = shop.ask("POST", "/sync/push", &a.headers(), unknown.to_string()).await;
    assert_eq!((status, &answer["field"]), (400, &json!("policies.products.policy")), "{answer}");
}

#[tokio::test]
async fn the_operators_policy_overrules_the_pushers() {
    let policies = serde_json::from_value(json!({ "products": { "columns": { "price": "server" } } })).unwrap();
    let shop = Shop::with(Options { open_registration: true, policies: std::sync::Arc::new(policies), ..Options::default() }).await;
    let dispute = dispute_in(shop, "register", json!({ "products": { "policy": "client" } }), json!({ "price": 3 })).await;
    assert_eq!(row(&dispute.shop).await["price"], 9);
    assert_eq!(verdicts(&dispute.answer)[0].0, "merged");
    assert_eq!(dispute.answer["results"][0]["serverData"]["price"], 9);
}

#[tokio::test]
async fn a_role_comes_from_the_token_or_where_everybody_registers_from_the_device() {
    let manager = json!({ "products": { "policy": "manager" } });
    let Dispute { shop, a, answer, .. } = dispute_in(Shop::open().await, "manager", manager.clone(), json!({ "price": 3 })).await;
    assert_eq!(row(&shop).await["price"], 3, "{answer}");
    // The manager's value stays also against one that is written later.
    let mut late = event("update", "1", Some(2), &["price"], json!({ "id": 1, "price": 8, "name": "x" }));
    late["timestamp"] = json!(99);
    push(&shop, &a, &json!({ "policies": manager, "changes": [late] })).await;
    assert_eq!(row(&shop).await["price"], 3);

    let shop = Shop::with(Options::default()).await;
    let tokens = [
        (shop.hub.make_enroll_token(1, DAY, Terms::default()).await.unwrap(), "register"),
        (
            shop.hub
                .make_enroll_token(1, DAY, Terms { role: Some(tillsync_core::config::Role::Manager), entities: None })
                .await
                .unwrap(),
            "manager",
        ),
    ];
    for (token, role) in tokens {
        for asked in ["manager", "register"] {
            let body = json!({ "name": "n", "role": asked, "enrollToken": token, "registrationId": role });
            let (status, answer) = shop.post("/sync/register", &body).await;
            assert_eq!((status, &answer["device"]["role"]), (201, &json!(role)), "{answer}");
        }
    }
}

#[tokio::test]
async fn differences_are_added_whatever_is_lost_or_repeated() {
    let shop = Shop::open().await;
    let (a, b) = (shop.device("A").await, shop.device("B").await);
    let policies = json!({ "products": { "columns": { "stock": "sum" } } });
    let stock = |n: i64| json!({ "id": 1, "stock": n });
    shop.push(&a, &[event("create", "1", None, &[], stock(20))]).await;
    let sold = |from: i64, to: i64| {
        let mut change = event("update", "1", Some(1), &["stock"], stock(to));
        change["base"] = json!({ "stock": from });
        change
    };
    let by_a = json!({ "policies": policies, "changes": [sold(20, 19), sold(19, 17)] });
    let by_b = json!({ "policies": policies, "changes": [sold(20, 16)] });
    for _ in 0..3 {
        push(&shop, &a, &by_a).await;
        let answer = push(&shop, &b, &by_b).await;
        assert_eq!(verdicts(&answer), [("merged".to_owned(), Some(4))]);
        assert_eq!(answer["results"][0]["serverData"]["stock"], 13);
    }
    assert_eq!(row(&shop).await["stock"], 13);
    let max = json!({ "id": 1, "stock": { "$int": "9223372036854775807" } });
    let mut flood = event("update", "1", Some(4), &["stock"], max);
    flood["base"] = json!({ "stock": 0 });
    let answer = push(&shop, &b, &json!({ "policies": policies, "changes": [flood] })).await;
    assert_eq!(verdicts(&answer)[0].0, "conflict", "{answer}");
    assert_eq!(row(&shop).await["stock"], 13);
}

#[tokio::test]
async fn a_person_decides_about_what_waits() {
    let manual = json!({ "products": { "policy": "manual" } });
    for (body, price, name, resolution) in [
        (json!({ "resolution": "client-wins", "baseVersion": 2 }), 3, "y", "client-wins"),
        (json!({ "resolution": "server-wins", "baseVersion": 2 }), 9, "x", "server-wins"),
        (json!({ "resolution": "merged", "baseVersion": 2, "data": { "price": 5 } }), 5, "x", "merged"),
    ] {
        let Dispute { shop, a, b, answer } = dispute(manual.clone(), json!({ "price": 3, "name": "y" })).await;
        let conflict = answer["results"][0]["conflict"].clone();
        assert_eq!((&conflict["resolution"], &conflict["version"]), (&json!("pending"), &json!(2)), "{conflict}");
        assert_eq!(row(&shop).await["name"], "x", "nothing is stored before somebody decides");
        assert_eq!(list(&shop, &b, "?status=pending").await, std::slice::from_ref(&conflict));
        assert_eq!(list(&shop, &a, "").await.len(), 1, "it is about a value of A, too");
        let c = shop.device("C").await;
        assert!(list(&shop, &c, "").await.is_empty(), "another till does not see it");
        assert_eq!(resolve(&shop, &c, 1, body.clone()).await.0, 403);

        let (status, resolved) = resolve(&shop, &b, 1, body).await;
        assert_eq!(
            (status, &resolved["data"]["price"], &resolved["data"]["name"]),
            (200, &json!(price), &json!(name)),
            "{resolved}"
        );
        assert_eq!(resolved["conflict"]["resolution"], resolution);
        assert_eq!(resolved["conflict"]["resolvedBy"], b.id);
        let page = shop.pull(&b, json!({ "fromCursorId": 2, "excludeOwn": true })).await;
        let change = &page["changes"][0];
        assert_eq!((&change["data"]["price"], &change["resolves"], &change["id"]), (&json!(price), &json!(1), &json!(3)));
        assert_eq!(shop.stats().await["pendingConflicts"], 0);
        assert_eq!(list(&shop, &b, "?status=resolved&entity=products").await.len(), 1);
        assert!(list(&shop, &b, "?status=resolved&entity=other").await.is_empty());
        // The event that ran into it asks nobody any more.
        let event_id = &conflict["eventId"];
        let mut again = event("update", "1", Some(1), &[], json!({ "id": 1, "price": 3, "name": "y" }));
        again["eventId"] = event_id.clone();
        let answer = shop.push(&b, &[again]).await;
        assert_eq!(verdicts(&answer), [("merged".to_owned(), Some(3))]);
        assert_eq!(answer["results"][0]["serverData"]["price"], price);
    }
}

#[tokio::test]
async fn delete_against_update_is_decided_either_way() {
    for (resolution, there) in [("client-wins", false), ("server-wins", true)] {
        let Dispute { shop, b, answer, .. } = dispute(json!({}), json!(null)).await;
        assert_eq!(verdicts(&answer), [("conflict".to_owned(), Some(2))]);
        let (status, resolved) = resolve(&shop, &b, 1, json!({ "resolution": resolution, "baseVersion": 2 })).await;
        assert_eq!((status, resolved["data"].is_object()), (200, there), "{resolved}");
        assert_eq!(row(&shop).await.is_object(), there);
    }
    // And the other way round: the row is gone, and B had changed it.
    let shop = Shop::open().await;
    let (a, b) = (shop.device("A").await, shop.device("B").await);
    shop.push(&a, &[event("create", "1", None, &[], json!({ "id": 1, "price": 2 }))]).await;
    shop.push(&a, &[event("delete", "1", Some(1), &[], json!(null))]).await;
    shop.push(&b, &[event("update", "1", Some(1), &["price"], json!({ "id": 1, "price": 3 }))]).await;
    let (status, resolved) = resolve(&shop, &b, 1, json!({ "resolution": "client-wins", "baseVersion": 2 })).await;
    assert_eq!((status, &resolved["data"]), (200, &json!({ "id": 1, "price": 3 })), "{resolved}");
}

#[tokio::test]
async fn an_automatic_decision_is_looked_up_and_reverted() {
    let Dispute { shop, b, .. } = dispute(json!({ "products": { "policy": "server" } }), json!({ "price": 3, "name": "y" })).await;
    assert_eq!(row(&shop).await, json!({ "id": 1, "price": 9, "name": "y" }));
    let conflict = list(&shop, &b, "?status=automatic").await.remove(0);
    assert_eq!((&conflict["resolution"], &conflict["resolvedBy"]), (&json!("server-wins"), &json!(null)));
    assert_eq!((&conflict["clientValue"]["price"], &conflict["serverValue"]["price"]), (&json!(3), &json!(9)));
    let (status, resolved) = resolve(&shop, &b, 1, json!({ "resolution": "client-wins", "baseVersion": 3 })).await;
    assert_eq!((status, &resolved["data"]), (200, &json!({ "id": 1, "price": 3, "name": "y" })), "{resolved}");
    let (status, answer) = resolve(&shop, &b, 1, json!({ "resolution": "server-wins", "baseVersion": 4 })).await;
    assert_eq!((status, &answer["code"]), (409, &json!("already_resolved")), "{answer}");
}

#[tokio::test]
async fn hazard_15_a_conflict_that_moved_meanwhile_is_not_overwritten() {
    let Dispute { shop, a, b, .. } = dispute(json!({ "products": { "policy": "manual" } }), json!({ "price": 3 })).await;
    shop.push(&a, &[event("update", "1", Some(2), &["name"], json!({ "id": 1, "price": 9, "name": "new" }))]).await;
    let (status, answer) = resolve(&shop, &b, 1, json!({ "resolution": "client-wins", "baseVersion": 2 })).await;
    assert_eq!((status, &answer["code"], &answer["data"]["name"]), (409, &json!("row_changed"), &json!("new")), "{answer}");
    assert_eq!((&answer["conflict"]["version"], &answer["conflict"]["resolution"]), (&json!(3), &json!("pending")));
    assert_eq!(row(&shop).await, json!({ "id": 1, "price": 9, "name": "new" }));
    let (status, answer) = resolve(&shop, &b, 1, json!({ "resolution": "client-wins", "baseVersion": 3 })).await;
    assert_eq!((status, &answer["data"]), (200, &json!({ "id": 1, "price": 3, "name": "new" })), "{answer}");
}

#[tokio::test]
async fn hazard_15_two_managers_cannot_both_win() {
    let Dispute { shop, b, .. } = dispute(json!({ "products": { "policy": "manual" } }), json!({ "price": 3 })).await;
    let managers = [device(&shop, "office", "manager").await, device(&shop, "home", "manager").await];
    for manager in &managers {
        assert_eq!(list(&shop, manager, "").await.len(), 1, "a manager sees everything");
    }
    let bodies = [
        json!({ "resolution": "client-wins", "baseVersion": 2 }),
        json!({ "resolution": "merged", "data": { "price": 7 }, "baseVersion": 2 }),
    ];
    let [first, second] = &managers;
    let (first, second) = tokio::join!(resolve(&shop, first, 1, bodies[0].clone()), resolve(&shop, second, 1, bodies[1].clone()));
    let mut statuses = [first.0, second.0];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409], "{first:?} {second:?}");
    let (won, lost) = if first.0 == 200 { (&first.1, &second.1) } else { (&second.1, &first.1) };
    assert_eq!(lost["code"], "already_resolved");
    assert_eq!(row(&shop).await, won["data"]);
    assert_eq!(list(&shop, &b, "?status=resolved").await.len(), 1);
}

#[tokio::test]
async fn the_administrator_sees_and_decides_and_mistakes_are_explained() {
    let Dispute { shop, b, .. } = dispute(json!({ "products": { "policy": "manual" } }), json!({ "price": 3 })).await;
    let key = bearer(&shop.hub.replace_admin_key().await.unwrap());
    let admin = [("authorization", key.as_str())];
    let (status, answer) = shop.ask("GET", "/sync/conflicts?limit=1", &admin, "").await;
    assert_eq!((status, answer["conflicts"].as_array().unwrap().len(), &answer["hasMore"]), (200, 1, &json!(false)), "{answer}");
    assert_eq!(shop.ask("GET", "/sync/conflicts", &[], "").await.0, 401);
    assert_eq!(shop.ask("GET", "/sync/conflicts?status=odd", &admin, "").await.1["field"], "status");
    for (id, body, status, part) in [
        ("1", json!({ "resolution": "merged", "baseVersion": 2 }), 400, "columns"),
        ("1", json!({ "resolution": "merged", "baseVersion": 2, "data": { "odd": 1 } }), 400, "no column odd"),
        ("1", json!({ "resolution": "both", "baseVersion": 2 }), 400, "form"),
        ("1", json!({ "resolution": "client-wins" }), 400, "baseVersion"),
        ("7", json!({ "resolution": "client-wins", "baseVersion": 2 }), 404, "no such conflict"),
        ("x", json!({ "resolution": "client-wins", "baseVersion": 2 }), 404, "no such conflict"),
    ] {
        let (found, answer) = shop.ask("POST", &format!("/sync/conflicts/{id}/resolve"), &admin, body.to_string()).await;
        assert_eq!(found, status, "{answer}");
        assert!(answer["error"].as_str().unwrap().contains(part), "{answer}");
    }
    assert_eq!(list(&shop, &b, "?status=pending").await.len(), 1);
    let wins = json!({ "resolution": "server-wins", "baseVersion": 2 }).to_string();
    let (status, answer) = shop.ask("POST", "/sync/conflicts/1/resolve", &admin, wins).await;
    assert_eq!((status, &answer["conflict"]["resolvedBy"]), (200, &json!("admin")), "{answer}");
}

#[tokio::test]
async fn hazard_12_a_clock_a_year_off_neither_always_wins_nor_always_loses() {
    const YEAR: i64 = 365 * 86_400_000;
    for off in [YEAR, -YEAR] {
        let shop = Shop::open().await;
        let (right, wrong) = (shop.device("right").await, shop.device("wrong").await);
        let now = || i64::try_from(std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
        let priced = |base: i64, price: i64, at: i64| {
            let mut change = event("update", "1", Some(base), &["price"], json!({ "id": 1, "price": price }));
            change["timestamp"] = json!(at);
            change
        };
        // The one with the wrong clock says what its clock shows when it sends.
        let send = async |device: &Device, off: i64, change: Value| {
            push(&shop, device, &json!({ "sentAt": now() + off, "changes": [change] })).await
        };
        shop.push(&right, &[event("create", "1", None, &[], json!({ "id": 1, "price": 2 }))]).await;
        send(&right, 0, priced(1, 10, now() - 60_000)).await;
        send(&wrong, off, priced(1, 11, now() + off - 30_000)).await;
        assert_eq!(row(&shop).await["price"], 11, "written later, so it wins ({off})");
        send(&right, 0, priced(3, 20, now() - 20_000)).await;
        send(&wrong, off, priced(3, 21, now() + off - 25_000)).await;
        assert_eq!(row(&shop).await["price"], 20, "written earlier, so it loses ({off})");
        // On top of what it knows it is never older, and a time in the future is no advantage.
        send(&wrong, 0, priced(4, 30, now() + off)).await;
        assert_eq!(row(&shop).await["price"], 30);
        let then = now();
        while now() == then {
            tokio::task::yield_now().await;
        }
        send(&right, 0, priced(4, 31, now() + 1)).await;
        assert_eq!(row(&shop).await["price"], 31, "{off}");
    }
}

#[tokio::test]
async fn answers_stay_short_however_large_the_rows_in_conflict_are() {
    let shop = Shop::open().await;
    let (a, b) = (shop.device("A").await, shop.device("B").await);
    let big = |letter: &str| json!({ "id": 1, "text": letter.repeat(1_000_000) });
    let keys = ["1", "2", "3", "4"];
    let make = |letter: &str| keys.map(|key| event("create", key, None, &[], big(letter)));
    shop.push(&a, &make("a")).await;
    let answer = shop.push(&b, &make("b")).await;
    let conflicts: Vec<&Value> = answer["results"].as_array().unwrap().iter().map(|result| &result["conflict"]).collect();
    assert_eq!(conflicts.iter().map(|one| one["clientValue"].is_object()).collect::<Vec<_>>(), [true, true, false, false]);
    assert_eq!(conflicts.iter().map(|one| one["id"].as_i64().unwrap()).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(list(&shop, &b, "").await.len(), 2, "a page ends where it gets too long");
    assert_eq!(list(&shop, &b, "?after=3").await[0]["clientValue"], big("b"));
}

#[tokio::test]
async fn what_rules_decided_long_ago_goes_and_what_people_decided_or_must_decide_stays() {
    let shop = Shop::open().await;
    let (a, b) = (shop.device("A").await, shop.device("B").await);
    let price = |key: &str, base: Option<i64>, price: i64| {
        event(if base.is_some() { "update" } else { "create" }, key, base, &["price"], json!({ "id": 1, "price": price }))
    };
    for (version, key, policy) in [(1, "1", "server"), (3, "2", "server"), (5, "3", "manual"), (7, "4", "server")] {
        if key == "4" {
            // All that is there so far was long ago; the second one was decided by a person.
            assert_eq!(resolve(&shop, &b, 2, json!({ "resolution": "server-wins", "baseVersion": 4 })).await.0, 200);
            let file = rusqlite::Connection::open(shop.folder.path().join("hub.db")).unwrap();
            file.execute("UPDATE conflict_log SET created_at = created_at - 200 * 86400000", []).unwrap();
        }
        let version = if key == "4" { version + 1 } else { version };
        shop.push(&a, &[price(key, None, 1), price(key, Some(version), 2)]).await;
        let policies = json!({ "products": { "policy": policy } });
        push(&shop, &b, &json!({ "policies": policies, "changes": [price(key, Some(version), 3)] })).await;
    }
    let left: Vec<i64> = list(&shop, &b, "").await.iter().map(|one| one["id"].as_i64().unwrap()).collect();
    assert_eq!(left, [2, 3, 4]);
}

#[tokio::test]
async fn a_device_whose_store_was_restored_knows_its_own_changes_no_better_than_others() {
    for (restored_up_to, status, noted) in [(None, "applied", false), (Some(1), "applied", false), (Some(2), "applied", true)] {
        let shop = Shop::open().await;
        let a = shop.device("A").await;
        shop.push(&a, &[event("create", "1", None, &[], json!({ "id": 1, "price": 2, "name": "x" }))]).await;
        shop.push(&a, &[event("update", "1", Some(1), &["price"], json!({ "id": 1, "price": 9, "name": "x" }))]).await;
        let mut change = event("update", "1", Some(1), &["price"], json!({ "id": 1, "price": 3, "name": "x" }));
        change["timestamp"] = json!(7);
        let answer = push(&shop, &a, &json!({ "restoredUpTo": restored_up_to, "changes": [change] })).await;
        assert_eq!(answer["results"][0]["status"], status, "{restored_up_to:?}: {answer}");
        assert_eq!(answer["results"][0]["conflict"]["serverValue"]["price"], if noted { json!(9) } else { json!(null) });
    }
}

#[tokio::test]
async fn a_decision_at_a_register_is_not_overwritten_unnoted_by_its_till() {
    let policies = json!({ "products": { "columns": { "price": "manual" } } });
    let Dispute { shop, b, answer, .. } = dispute(policies, json!({ "price": 3 })).await;
    assert_eq!(answer["results"][0]["status"], "conflict");
    let (status, _) = resolve(&shop, &b, 1, json!({ "resolution": "server-wins", "baseVersion": 2 })).await;
    assert_eq!(status, 200);
    // The till has not heard of the decision, nor of the value that it kept.
    let mut change = event("update", "1", Some(1), &["price"], json!({ "id": 1, "price": 4, "name": "x" }));
    change["timestamp"] = json!(8);
    let answer = push(&shop, &b, &json!({ "changes": [change] })).await;
    assert_eq!(answer["results"][0]["conflict"]["serverValue"]["price"], 9, "{answer}");
}

#[tokio::test]
async fn who_brings_a_row_as_it_was_before_a_delete_hears_of_the_delete() {
    let shop = Shop::open().await;
    let (a, b) = (shop.device("A").await, shop.device("B").await);
    let tea = json!({ "id": 1, "price": 2, "name": "x" });
    shop.push(&a, &[event("create", "1", None, &[], tea.clone())]).await;
    shop.push(&a, &[event("delete", "1", Some(1), &[], json!(null))]).await;
    let late = event("create", "1", None, &[], tea.clone());
    for _ in 0..2 {
        let answer = shop.push(&b, std::slice::from_ref(&late)).await;
        assert_eq!(verdicts(&answer), [("merged".to_owned(), Some(2))], "{answer}");
        assert_eq!(answer["results"][0]["serverData"], json!(null));
    }
    // Another row with that key, or the same one made by somebody who knows of the delete, is a new row.
    let answer = shop.push(&b, &[event("create", "1", Some(2), &[], tea)]).await;
    assert_eq!(verdicts(&answer), [("applied".to_owned(), Some(3))], "{answer}");
}
