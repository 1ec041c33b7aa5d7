//! A register replaces its key. Whatever ends or gets lost meanwhile, it has one that works.

use super::STEPS_MAX;
use super::line::{Fault, Plan};
use super::pos::Journal;
use super::shop::{Outcome, Shop, Trouble, on_runtime};

fn run(trouble: Trouble) -> Outcome {
    on_runtime(async {
        let plan = match trouble {
            Trouble::Call { fault, .. } => Plan::later(fault),
            Trouble::None | Trouble::EndOfA { .. } | Trouble::EndOfB { .. } => Plan::default(),
        };
        let mut shop = Shop::with_keys(Journal::Wal, plan).await;
        shop.a.sell("INSERT INTO sales VALUES ('a-1', 1, NULL)");
        shop.a.sync().await;
        shop.trouble(trouble);
        // Twice: the key before the last one is not good any more.
        for sale in 2..=3 {
            shop.a.rekey().await;
            shop.a.sell(&format!("INSERT INTO sales VALUES ('a-{sale}', 1, NULL)"));
            shop.a.sync().await;
        }
        shop.b.sync().await;
        shop.outcome()
    })
}

fn check(places_min: i64, trouble: impl Fn(i64) -> Trouble) {
    let undisturbed = run(Trouble::None).end;
    for place in 1..STEPS_MAX {
        let trouble = trouble(place);
        let Outcome { end, happened } = run(trouble);
        assert_eq!(end, undisturbed, "{trouble:?}");
        if !happened {
            assert!(place > places_min, "only {} places", place - 1);
            return;
        }
    }
    panic!("the scenario never ends undisturbed");
}

#[test]
fn a_register_may_end_at_every_step_while_it_replaces_its_key() {
    check(6, |step| Trouble::EndOfA { step });
}

#[test]
fn every_call_may_fail_while_a_register_replaces_its_key() {
    for fault in [Fault::AnswerLost, Fault::RequestLost, Fault::Doubled] {
        check(4, |call| Trouble::Call { call, fault });
    }
}
