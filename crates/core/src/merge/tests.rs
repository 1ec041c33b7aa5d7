//! Table tests of the rules, and changes that arrive in any order.

use super::*;

const PLAIN: &str = r#"{"id":1,"price":2,"name":"x"}"#;

fn row(json: &str) -> Row {
    serde_json::from_str(json).unwrap()
}

fn merging(toml: &str) -> Merging {
    toml::from_str(toml).unwrap()
}

fn writer(device: &str, at_ms: i64) -> Writer {
    Writer { device: device.to_owned(), manager: device.starts_with("manager"), at_ms }
}

/// A row that device `theirs` changed at time 100 from version 5 to 6.
fn head(json: Option<&str>) -> Head {
    head_by("theirs", json)
}

fn head_by(device: &str, json: Option<&str>) -> Head {
    let row = json.map(row);
    let since = vec![Entry { writer: writer(device, 100), row: row.clone(), by_pull: false }];
    Head { version: 6, at_ms: 100, by_same_device: false, row, deleted: None, since }
}

fn update(fields: &[&str], json: &str) -> Incoming {
    let updated_fields = Some(fields.iter().map(|&field| field.to_owned()).collect());
    Incoming { updated_fields, ..of(Operation::Update, Some(5), json) }
}

fn of(operation: Operation, base_version: Option<i64>, json: &str) -> Incoming {
    Incoming {
        operation,
        base_version,
        updated_fields: None,
        row: row(json),
        before: Row::default(),
        writer: writer("mine", 200),
        arbiter: Arbiter::Person,
    }
}

fn plainly(head: Option<&Head>, base: Option<&Row>, incoming: &Incoming) -> Decision {
    decide(head, base, incoming, &Merging::default())
}

fn applied(json: &str, at_ms: i64) -> Decision {
    Decision::Apply { operation: Operation::Update, row: Some(row(json)), at_ms, disputes: Vec::new() }
}

fn created(json: &str) -> Decision {
    Decision::Apply { operation: Operation::Create, row: Some(row(json)), at_ms: 200, disputes: Vec::new() }
}

/// What became of one column: its value, and whose it is when both sides had changed it.
fn outcome(decision: &Decision, theirs: &str, column: &str) -> (String, Option<Kept>) {
    let theirs = row(theirs);
    let (row, disputes) = match decision {
        Decision::Duplicate => (&theirs, &Vec::new()),
        Decision::Keep { disputes } | Decision::Conflict { disputes, .. } => (&theirs, disputes),
        Decision::Merge { row, disputes, .. } | Decision::Apply { row: Some(row), disputes, .. } => (row, disputes),
        Decision::Apply { row: None, .. } => panic!("{decision:?}"),
    };
    let dispute = disputes.iter().find(|dispute| dispute.column == column);
    (serde_json::to_string(row.get(column).unwrap()).unwrap(), dispute.map(|dispute| dispute.kept))
}

#[test]
fn a_new_row_is_stored() {
    assert_eq!(plainly(None, None, &of(Operation::Create, None, PLAIN)), created(PLAIN));
}

#[test]
fn an_update_on_top_of_the_head_is_stored_and_never_older_than_it() {
    let mut incoming = update(&["price"], r#"{"id":1,"price":3,"name":"x"}"#);
    incoming.base_version = Some(6);
    assert_eq!(plainly(Some(&head(Some(PLAIN))), None, &incoming), applied(r#"{"id":1,"price":3,"name":"x"}"#, 200));
    incoming.writer.at_ms = 7;
    assert_eq!(plainly(Some(&head(Some(PLAIN))), None, &incoming), applied(r#"{"id":1,"price":3,"name":"x"}"#, 100));
}

#[test]
fn a_partial_update_keeps_the_other_columns() {
    let mut incoming = of(Operation::Update, Some(6), r#"{"price":3}"#);
    incoming.arbiter = Arbiter::Arrival;
    assert_eq!(plainly(Some(&head(Some(PLAIN))), None, &incoming), applied(r#"{"id":1,"price":3,"name":"x"}"#, 200));
}

#[test]
fn different_columns_merge_whoever_is_older() {
    let there = head(Some(r#"{"id":1,"price":2,"name":"y"}"#));
    let expected = |at_ms| Decision::Merge { row: row(r#"{"id":1,"price":3,"name":"y"}"#), at_ms, disputes: Vec::new() };
    let mut incoming = update(&["price"], r#"{"id":1,"price":3,"name":"x"}"#);
    assert_eq!(plainly(Some(&there), Some(&row(PLAIN)), &incoming), expected(200));
    incoming.writer.at_ms = 1;
    assert_eq!(plainly(Some(&there), Some(&row(PLAIN)), &incoming), expected(1));
    // A table whose shadow keeps no columns does not say which it changed.
    incoming.updated_fields = None;
    assert_eq!(plainly(Some(&there), Some(&row(PLAIN)), &incoming), expected(1));
}

/// Both sides changed `price` of 2: the hub has 9, written at 100 by `theirs`; 3 is pushed. Gives what becomes of it.
fn check(toml: &str, incoming_by: &str, at_ms: i64, expected: (&str, Option<Kept>)) {
    let mut incoming = update(&["price"], r#"{"id":1,"price":3,"name":"x"}"#);
    incoming.writer = writer(incoming_by, at_ms);
    let theirs = r#"{"id":1,"price":9,"name":"x"}"#;
    let decision = decide(Some(&head(Some(theirs))), Some(&row(PLAIN)), &incoming, &merging(toml));
    let (value, kept) = outcome(&decision, theirs, "price");
    assert_eq!((value.as_str(), kept), expected, "{toml} {incoming_by} {at_ms}");
}

#[test]
fn the_same_column_goes_by_the_rule() {
    let (mine, theirs) = (("3", Some(Kept::Client)), ("9", Some(Kept::Server)));
    check("", "mine", 101, mine);
    check("", "mine", 99, theirs);
    check("", "zebra", 100, mine);
    check("", "mine", 100, theirs);
    check("policy = 'server'", "mine", 999, theirs);
    check("policy = 'client'", "mine", 1, mine);
    check("policy = 'manager'", "manager", 1, mine);
    check("policy = 'manager'", "mine", 101, mine);
    check("policy = 'manager'", "mine", 99, theirs);
    check("policy = 'manual'", "mine", 101, ("9", Some(Kept::Nobody)));
    check("policy = 'field'\ncolumns = { price = 'server' }", "mine", 101, theirs);
    check("policy = 'server'\ncolumns = { PRICE = 'client' }", "mine", 1, mine);
    check("policy = 'sum'", "mine", 1, ("10", Some(Kept::Merged)));
    check("policy = 'json'", "mine", 101, mine);
    check("policy = 'fill'", "mine", 99, theirs);
}

#[test]
fn a_managers_value_stays() {
    let incoming = update(&["price"], r#"{"id":1,"price":3}"#);
    let theirs = r#"{"id":1,"price":9}"#;
    let there = head_by("manager", Some(theirs));
    let decision = decide(Some(&there), Some(&row(PLAIN)), &incoming, &merging("policy = 'manager'"));
    assert_eq!(outcome(&decision, theirs, "price"), ("9".to_owned(), Some(Kept::Server)));
    assert!(matches!(decision, Decision::Keep { .. }), "{decision:?}");
}

#[test]
fn manual_stores_nothing_of_the_change() {
    let incoming = update(&["price", "name"], r#"{"id":1,"price":3,"name":"z"}"#);
    let there = head(Some(r#"{"id":1,"price":9,"name":"x"}"#));
    let decision = decide(Some(&there), Some(&row(PLAIN)), &incoming, &merging("columns = { price = 'manual' }"));
    let Decision::Conflict { disputes, .. } = decision else { panic!("{decision:?}") };
    assert_eq!(disputes, [Dispute { column: "price".to_owned(), rule: Rule::Manual, kept: Kept::Nobody }]);
    // Without a rival there is nothing to decide.
    let alone = head(Some(PLAIN));
    assert!(matches!(decide(Some(&alone), Some(&row(PLAIN)), &incoming, &merging("policy = 'manual'")), Decision::Apply { .. }));
}

#[test]
fn fill_takes_what_is_empty_on_either_side() {
    let base = row(r#"{"id":1,"a":"old"}"#);
    for (mine, theirs, at_ms, expected) in
        [("'new'", "''", 1, "new"), ("''", "'new'", 999, "new"), ("'b'", "'a'", 999, "b"), ("'b'", "'a'", 1, "a")]
    {
        let json = |value: &str| format!(r#"{{"id":1,"a":{}}}"#, value.replace('\'', "\""));
        let mut incoming = update(&["a"], &json(mine));
        incoming.writer.at_ms = at_ms;
        let decision = decide(Some(&head(Some(&json(theirs)))), Some(&base), &incoming, &merging("policy = 'fill'"));
        assert_eq!(outcome(&decision, &json(theirs), "a").0, format!("{expected:?}"));
    }
}

#[test]
fn counters_add_up_also_from_a_known_base() {
    let rule = merging("columns = { stock = 'sum' }");
    let mut incoming = update(&["stock"], r#"{"id":1,"stock":16}"#);
    incoming.before = row(r#"{"stock":20}"#);
    let there = head(Some(r#"{"id":1,"stock":17}"#));
    let decision = decide(Some(&there), None, &incoming, &rule);
    assert_eq!(outcome(&decision, "{}", "stock"), ("13".to_owned(), Some(Kept::Merged)));
    // On top of the head the difference counts too: the register never saw what the hub has.
    incoming.base_version = Some(6);
    let expected = Decision::Merge { row: row(r#"{"id":1,"stock":13}"#), at_ms: 200, disputes: Vec::new() };
    assert_eq!(decide(Some(&there), None, &incoming, &rule), expected);
    // Both sold three: the same value, and yet six are gone.
    incoming.base_version = Some(5);
    incoming.row = row(r#"{"id":1,"stock":17}"#);
    assert_eq!(outcome(&decide(Some(&there), None, &incoming, &rule), "{}", "stock").0, "14");
    incoming.before =
        row(r#"{"stock":-9223372036854775000}"#.replace("-9223372036854775000", r#"{"$int":"-9223372036854775000"}"#).as_str());
    incoming.row = row(r#"{"id":1,"stock":9000}"#);
    assert!(matches!(decide(Some(&there), None, &incoming, &rule), Decision::Conflict { .. }));
}

#[test]
fn json_merges_from_the_value_before() {
    let rule = merging("columns = { tags = 'json' }\nlists = 'concat'");
    let mut incoming = update(&["tags"], r#"{"id":1,"tags":"[1,2]"}"#);
    incoming.before = row(r#"{"tags":"[1]"}"#);
    let decision = decide(Some(&head(Some(r#"{"id":1,"tags":"[1,2]"}"#))), None, &incoming, &rule);
    assert_eq!(outcome(&decision, "{}", "tags"), (r#""[1,2,2]""#.to_owned(), Some(Kept::Merged)));
    incoming.row = row(r#"{"id":1,"tags":"word"}"#);
    let decision = decide(Some(&head(Some(r#"{"id":1,"tags":"[1,2]"}"#))), None, &incoming, &rule);
    assert_eq!(outcome(&decision, "{}", "tags"), (r#""word""#.to_owned(), Some(Kept::Client)));
}

#[test]
fn concurrency_is_found_by_version_hash_or_timestamp() {
    let base = row(PLAIN);
    let mut incoming = update(&["price"], r#"{"id":1,"price":3,"name":"x"}"#);
    incoming.writer.at_ms = 1;
    // Changed and changed back.
    let there = head(Some(PLAIN));
    let decision = decide(Some(&there), Some(&base), &incoming, &merging("detect = 'hash'"));
    assert_eq!(decision, applied(r#"{"id":1,"price":3,"name":"x"}"#, 100));
    let delete = of(Operation::Delete, Some(5), "{}");
    assert!(matches!(decide(Some(&there), Some(&base), &delete, &merging("detect = 'hash'")), Decision::Apply { .. }));
    assert!(matches!(plainly(Some(&there), Some(&base), &delete), Decision::Conflict { .. }));

    let by_column = merging("detect = 'timestamp'\ntimestamp_column = 'AT'");
    for (mine, theirs, expected) in [
        ("5", "4", "3"),
        ("4", "5", "9"),
        ("5", "5", "9"),
        (r#""2026-01-02""#, r#""2026-01-01""#, "3"),
        ("null", "1", "9"),
        ("5", r#"{"$real":"4.0"}"#, "3"),
    ] {
        let mut incoming = update(&["price", "at"], &format!(r#"{{"id":1,"price":3,"at":{mine}}}"#));
        incoming.writer.at_ms = 1;
        let theirs = format!(r#"{{"id":1,"price":9,"at":{theirs}}}"#);
        let base = row(r#"{"id":1,"price":2,"at":0}"#);
        let decision = decide(Some(&head(Some(&theirs))), Some(&base), &incoming, &by_column);
        assert_eq!(outcome(&decision, &theirs, "price").0, expected, "{mine} against {theirs}");
    }
}

#[test]
fn equal_rows_are_duplicates_and_different_rows_with_one_key_wait_for_a_person() {
    let there = head(Some(r#"{"id":1,"price":9}"#));
    let same = of(Operation::Create, None, r#"{"id":1,"price":9,"new":null}"#);
    assert_eq!(plainly(Some(&there), None, &same), Decision::Duplicate);
    let other = of(Operation::Create, None, r#"{"id":1,"price":8}"#);
    assert!(matches!(plainly(Some(&there), None, &other), Decision::Conflict { .. }));
}

#[test]
fn delete_against_update_waits_for_a_person_in_both_orders_whatever_the_policy() {
    let delete = of(Operation::Delete, Some(5), "{}");
    for policy in ["latest", "server", "client", "manager", "manual", "sum", "field", "json", "fill"] {
        let policy = merging(&format!("policy = '{policy}'"));
        assert!(matches!(decide(Some(&head(Some(PLAIN))), None, &delete, &policy), Decision::Conflict { .. }));
        let updated = update(&["id"], PLAIN);
        assert!(matches!(decide(Some(&head(None)), None, &updated, &policy), Decision::Conflict { .. }));
    }
    assert_eq!(plainly(Some(&head(None)), None, &delete), Decision::Duplicate);
}

#[test]
fn a_device_never_conflicts_with_itself() {
    let theirs = r#"{"id":1,"price":9,"name":"x"}"#;
    let own = Head { by_same_device: true, ..head_by("mine", Some(theirs)) };
    let incoming = update(&["price"], PLAIN);
    assert_eq!(plainly(Some(&own), None, &incoming), applied(PLAIN, 200));
    // Nor where somebody else changed another column in between; back to what it was is a change, too.
    let mut mixed = head_by("mine", Some(theirs));
    let both = r#"{"id":1,"price":9,"name":"y"}"#;
    mixed.since.push(Entry { writer: writer("theirs", 150), row: Some(row(both)), by_pull: false });
    mixed.row = Some(row(both));
    for updated_fields in [incoming.updated_fields.clone(), None] {
        let incoming = Incoming { updated_fields, ..incoming.clone() };
        let expected = Decision::Merge { row: row(r#"{"id":1,"price":2,"name":"y"}"#), at_ms: 200, disputes: Vec::new() };
        assert_eq!(plainly(Some(&mixed), Some(&row(PLAIN)), &incoming), expected);
    }
}

#[test]
fn a_delete_of_what_never_arrived_does_not_take_another_row_along() {
    let delete = Incoming { base_version: None, ..of(Operation::Delete, None, "{}") };
    assert!(matches!(plainly(Some(&head(Some(PLAIN))), None, &delete), Decision::Conflict { .. }));
    let own = Head { by_same_device: true, ..head_by("mine", Some(PLAIN)) };
    assert!(matches!(plainly(Some(&own), None, &delete), Decision::Apply { row: None, .. }));
}

/// An update of `price` by a register that has never heard of the row's version, on top of `theirs`; whether a person must decide.
fn check_unheard(theirs: &str, mine: &str, before: &str, expected: bool) {
    let incoming = Incoming { base_version: None, before: row(before), ..update(&["price"], mine) };
    let decision = plainly(Some(&head(Some(theirs))), None, &incoming);
    assert_eq!(matches!(decision, Decision::Conflict { .. }), expected, "{mine} on {theirs}: {decision:?}");
}

#[test]
fn an_update_of_a_row_that_never_arrived_as_a_whole_loses_nothing_of_it() {
    let theirs = r#"{"id":1,"price":2,"name":"tea"}"#;
    check_unheard(theirs, r#"{"id":1,"price":3,"name":"tea"}"#, "{}", false);
    check_unheard(theirs, r#"{"id":1,"price":3,"name":"tea","size":null}"#, r#"{"price":2}"#, false);
    // Its own row had another name, or another price before, and nobody has heard of that.
    check_unheard(theirs, r#"{"id":1,"price":3,"name":"mint"}"#, "{}", true);
    check_unheard(theirs, r#"{"id":1,"price":3,"name":"tea"}"#, r#"{"price":1}"#, true);
    // Once something of it has arrived, the rest follows as ever.
    let mut both = head_by("mine", Some(r#"{"id":1,"price":2,"name":"oat"}"#));
    both.since.push(Entry { writer: writer("theirs", 150), row: Some(row(theirs)), by_pull: false });
    both.row = Some(row(theirs));
    let incoming = Incoming { base_version: None, ..update(&["price"], r#"{"id":1,"price":3,"name":"oat"}"#) };
    let expected = Decision::Merge { row: row(r#"{"id":1,"price":3,"name":"tea"}"#), at_ms: 200, disputes: Vec::new() };
    assert_eq!(plainly(Some(&both), None, &incoming), expected);
}

#[test]
fn a_persons_decision_at_the_same_register_is_as_new_to_its_till_as_to_all_others() {
    let mut decided = head_by("mine", Some(r#"{"id":1,"price":9,"name":"x"}"#));
    decided.since[0].by_pull = true;
    for updated_fields in [Some(vec!["price".to_owned()]), None] {
        let incoming = Incoming { updated_fields, ..update(&["price"], r#"{"id":1,"price":2,"name":"x"}"#) };
        let decision = plainly(Some(&decided), Some(&row(r#"{"id":1,"price":5,"name":"x"}"#)), &incoming);
        assert_eq!(outcome(&decision, "{}", "price"), ("2".to_owned(), Some(Kept::Client)));
    }
}

#[test]
fn a_client_of_the_original_protocol_wins_by_arriving_later() {
    let mut incoming = of(Operation::Delete, Some(5), "{}");
    incoming.arbiter = Arbiter::Arrival;
    incoming.writer.at_ms = 1;
    let decision = plainly(Some(&head(Some(r#"{"id":1}"#))), None, &incoming);
    let lost = vec![Dispute { column: "id".to_owned(), rule: Rule::Client, kept: Kept::Client }];
    assert_eq!(decision, Decision::Apply { operation: Operation::Delete, row: None, at_ms: 1, disputes: lost });
    let incoming = Incoming { operation: Operation::Update, row: row(r#"{"id":1,"price":3}"#), ..incoming };
    let decision = plainly(Some(&head(Some(r#"{"id":1,"price":9}"#))), Some(&row(r#"{"id":1,"price":2}"#)), &incoming);
    assert_eq!(outcome(&decision, "{}", "price"), ("3".to_owned(), Some(Kept::Client)));
}

#[test]
fn a_clock_in_the_future_is_held_back() {
    assert_eq!((written_at(5, 9), written_at(9, 9), written_at(10, 9)), (5, 9, 9));
}

/// Registers that changed one row without knowing of each other, in any order of arrival.
mod orders {
    use super::*;

    const COLUMNS: [&str; 4] = ["price", "name", "stock", "tags"];

    fn value(rng: &mut fastrand::Rng, column: &str) -> Value {
        match column {
            "stock" => Value::Integer(rng.i64(-50..50)),
            "tags" => Value::Text(format!("[{}]", rng.u8(0..9))),
            _ => Value::Integer(rng.i64(0..1_000_000)),
        }
    }

    fn change(rng: &mut fastrand::Rng, number: usize, base: &Row) -> Incoming {
        let mut row = base.clone();
        let fields: Vec<String> = COLUMNS.iter().filter(|_| rng.bool()).map(|column| (*column).to_owned()).collect();
        for field in &fields {
            row.set(field, value(rng, field));
        }
        Incoming {
            operation: Operation::Update,
            base_version: Some(1),
            updated_fields: Some(fields),
            row,
            before: base.clone(),
            writer: Writer { device: format!("d{number}"), manager: rng.u8(0..4) == 0, at_ms: rng.i64(10..20) },
            arbiter: Arbiter::Person,
        }
    }

    /// The row after all changes came in this order, and every value that was noted as lost.
    fn arrive<'a>(base: &Row, changes: impl Iterator<Item = &'a Incoming>, merging: &Merging) -> (Row, Vec<Value>) {
        let mut head =
            Head { version: 1, at_ms: 1, by_same_device: false, row: Some(base.clone()), deleted: None, since: Vec::new() };
        let mut noted = Vec::new();
        for incoming in changes {
            let theirs = head.row.clone().unwrap();
            let decision = decide(Some(&head), Some(base), incoming, merging);
            let (row, disputes) = match decision {
                Decision::Duplicate => (theirs.clone(), Vec::new()),
                Decision::Keep { disputes } => (theirs.clone(), disputes),
                Decision::Merge { row, disputes, .. } => (row, disputes),
                Decision::Apply { row, disputes, .. } => (row.unwrap(), disputes),
                Decision::Conflict { .. } => panic!("nothing here is for a person"),
            };
            for dispute in disputes {
                noted.extend([&theirs, &incoming.row].map(|row| row.get(&dispute.column).unwrap().clone()));
            }
            if row != theirs {
                head.version += 1;
                head.since.push(Entry { writer: incoming.writer.clone(), row: Some(row.clone()), by_pull: false });
                head.row = Some(row);
            }
        }
        (head.row.unwrap(), noted)
    }

    #[test]
    fn the_order_of_arrival_decides_nothing_and_no_value_is_lost() {
        let base: Row = serde_json::from_str(r#"{"id":1,"price":-1,"name":-2,"stock":20,"tags":"[]"}"#).unwrap();
        for seed in 0..500 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let policy = ["latest", "manager", "fill"][rng.usize(0..3)];
            let merging = merging(&format!("policy = '{policy}'\ncolumns = {{ stock = 'sum', tags = 'json' }}"));
            let changes: Vec<Incoming> = (0..rng.usize(2..6)).map(|number| change(&mut rng, number, &base)).collect();
            let (row, noted) = arrive(&base, changes.iter(), &merging);
            let mut order: Vec<usize> = (0..changes.len()).collect();
            rng.shuffle(&mut order);
            let (other, _) = arrive(&base, order.iter().map(|&place| &changes[place]), &merging);
            for column in ["price", "name", "stock"] {
                assert_eq!(row.get(column), other.get(column), "seed {seed}, {policy}, {column}: {changes:#?}");
            }
            let sold: i64 = changes.iter().map(|change| 20 - integer(&change.row, "stock")).sum();
            assert_eq!(integer(&row, "stock"), 20 - sold, "seed {seed}");
            for change in &changes {
                for field in change.updated_fields.as_ref().unwrap().iter().filter(|field| *field == "price" || *field == "name") {
                    let mine = change.row.get(field).unwrap();
                    assert!(row.get(field) == Some(mine) || noted.contains(mine), "seed {seed}: {mine:?} is lost");
                }
            }
        }
    }

    fn integer(row: &Row, column: &str) -> i64 {
        match row.get(column) {
            Some(Value::Integer(n)) => *n,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_row_that_is_made_anew_has_all_columns_that_the_deleted_one_had() {
    let gone = Head { deleted: Some(row(r#"{"id":1,"price":2,"name":"x"}"#)), ..head(None) };
    let again = of(Operation::Create, Some(6), r#"{"id":1,"name":"y"}"#);
    assert_eq!(plainly(Some(&gone), None, &again), created(r#"{"id":1,"name":"y","price":null}"#));
}

#[test]
fn a_new_column_with_nothing_in_it_is_nothing_to_log() {
    let same = Incoming { updated_fields: None, ..of(Operation::Update, Some(6), r#"{"id":1,"price":2,"name":"x","size":null}"#) };
    assert_eq!(plainly(Some(&head(Some(PLAIN))), None, &same), Decision::Duplicate);
}
