//! The hub is put back to a backup, and the registers give back what it has lost. Whatever ends or gets lost meanwhile, it is all there in the
//! end, once.

use tillsync_agent::state::marks;

use super::STEPS_MAX;
use super::line::{Fault, Plan};
use super::pos::{self, Journal};
use super::shop::{Outcome, Shop, Trouble, on_runtime};

/// What the hub is about to lose: new rows, changes of rows of both registers, and deletes.
const LOST_ON_B: &str = "
UPDATE products SET name = 'Iced tea' WHERE id = 1;
UPDATE sales SET note = 'B' WHERE id = 'a-3';
DELETE FROM lines WHERE id = 4;
INSERT INTO sales VALUES ('b-9', 9, NULL);
INSERT INTO lines VALUES (900, 'b-9', 9);
DELETE FROM texts WHERE language = 'en';";

/// What they do while it comes back.
const MEANWHILE_ON_A: &str = "UPDATE products SET stock = 7 WHERE id = 1; INSERT INTO sales VALUES ('a-9', 1, 1)";
const MEANWHILE_ON_B: &str = "UPDATE products SET price = 9.5 WHERE id = 1; INSERT INTO sales VALUES ('b-10', 1, 1)";

fn run(journal: Journal, trouble: Trouble) -> Outcome {
    on_runtime(async {
        let plan = match trouble {
            Trouble::Call { fault, .. } => Plan::later(fault),
            Trouble::None | Trouble::EndOfA { .. } | Trouble::EndOfB { .. } => Plan::default(),
        };
        let mut shop = Shop::with(journal, pos::BEFORE, "", plan).await;
        shop.a.sync().await;
        shop.b.sync().await;
        let backup = shop.back_up_hub();
        shop.a.sell(pos::ON_A);
        shop.a.sync().await;
        shop.b.sync().await;
        shop.b.sell(LOST_ON_B);
        shop.b.sync().await;
        shop.a.sync().await;
        shop.put_hub_back(backup).await;
        shop.trouble(trouble);
        shop.b.sell(MEANWHILE_ON_B);
        shop.a.sell(MEANWHILE_ON_A);
        for _ in 0..2 {
            shop.b.sync().await;
            shop.a.sync().await;
        }
        shop.b.sync().await;
        for register in [&shop.a, &shop.b] {
            // Somebody has read that the hub was restored.
            marks::clear(register.agent().state().conn(), marks::NOTICE).unwrap();
        }
        shop.outcome()
    })
}

fn check(journal: Journal, places_min: i64, trouble: impl Fn(i64) -> Trouble) {
    let undisturbed = run(journal, Trouble::None).end;
    assert_eq!(undisturbed.conflicts, 0);
    for place in 1..STEPS_MAX {
        let trouble = trouble(place);
        let Outcome { end, happened } = run(journal, trouble);
        assert!(end.holds_as_much_as(&undisturbed), "{trouble:?}: {end:?} is not {undisturbed:?}");
        if !happened {
            assert!(place > places_min, "only {} places", place - 1);
            return;
        }
    }
    panic!("the scenario never ends undisturbed");
}

#[test]
fn hazard_12_a_register_may_end_at_every_step_while_it_gives_back_what_the_hub_lost() {
    check(Journal::Wal, 15, |step| Trouble::EndOfA { step });
    check(Journal::Delete, 15, |step| Trouble::EndOfB { step });
}

#[test]
fn hazard_12_every_call_may_fail_while_registers_give_back_what_the_hub_lost() {
    for fault in [Fault::AnswerLost, Fault::RequestLost, Fault::Doubled] {
        check(Journal::Wal, 10, |call| Trouble::Call { call, fault });
    }
}
