//! What the machine does in every situation a host can report.

use super::*;

const NOW: i64 = 1_000_000;

fn machine() -> Sync {
    Sync::new(Settings { interval_ms: 30_000, pull_wait_ms: 25_000, batch_max: 1000, seed: 1 }, NOW)
}

fn effects(sync: &mut Sync, now: i64) -> Vec<Effect> {
    std::iter::from_fn(|| sync.poll_effect(now)).collect()
}

/// Answers every effect with "nothing to do" until all is quiet.
fn settle(sync: &mut Sync, now: i64) {
    effects(sync, now);
    sync.handle(Event::Captured(Captured::Done { added: 0, more: false }), now);
    sync.handle(Event::Pushed(Pushed::Nothing), now);
    sync.handle(Event::Pulled(Pulled::Nothing), now);
}

#[test]
fn starts_with_one_effect_in_every_lane() {
    let mut sync = machine();
    assert_eq!(effects(&mut sync, NOW), [Effect::Capture, Effect::Push { changes_max: 500 }, Effect::Pull { wait_ms: 0 }]);
    assert_eq!(effects(&mut sync, NOW + 60_000), [], "one effect in flight per lane");
}

#[test]
fn a_change_in_the_store_is_captured_and_sent_at_once() {
    let mut sync = machine();
    settle(&mut sync, NOW);
    assert!(sync.settled_since(NOW));
    assert_eq!(effects(&mut sync, NOW), [Effect::Pull { wait_ms: 25_000 }], "the long poll opens");
    sync.handle(Event::StoreChanged, NOW + 5);
    assert_eq!(effects(&mut sync, NOW + 5), [Effect::Capture]);
    sync.handle(Event::StoreChanged, NOW + 6);
    sync.handle(Event::Captured(Captured::Done { added: 2, more: false }), NOW + 8);
    assert_eq!(
        effects(&mut sync, NOW + 8),
        [Effect::Capture, Effect::Push { changes_max: 500 }],
        "a change during a capture is looked at again"
    );
}

#[test]
fn what_a_person_freed_goes_at_once_and_nothing_is_called_sent_before() {
    let mut sync = machine();
    settle(&mut sync, NOW);
    effects(&mut sync, NOW);
    sync.handle(Event::Freed, NOW + 10);
    assert!(!sync.settled_since(NOW));
    assert_eq!(effects(&mut sync, NOW + 10), [Effect::Push { changes_max: 500 }]);
    sync.handle(Event::Freed, NOW + 11);
    sync.handle(Event::Pushed(Pushed::Nothing), NOW + 12);
    assert_eq!(effects(&mut sync, NOW + 12), [Effect::Push { changes_max: 500 }], "what came free during a push goes after it");
    sync.handle(Event::Pushed(Pushed::Nothing), NOW + 13);
    assert!(sync.settled_since(NOW));
}

#[test]
fn a_store_that_is_yet_to_get_back_what_it_lost_is_not_called_captured() {
    let mut sync = machine();
    settle(&mut sync, NOW);
    effects(&mut sync, NOW);
    sync.handle(Event::StoreChanged, NOW + 5);
    assert_eq!(effects(&mut sync, NOW + 5), [Effect::Capture]);
    sync.handle(Event::Captured(Captured::Later { added: 0 }), NOW + 8);
    assert!(!sync.settled_since(NOW));
    assert_eq!(effects(&mut sync, NOW + 8), [], "it is looked at again when the pull is over");
}

#[test]
fn asking_ends_the_long_poll_and_looks_everywhere() {
    let mut sync = machine();
    settle(&mut sync, NOW);
    effects(&mut sync, NOW);
    sync.handle(Event::Asked, NOW + 10);
    assert_eq!(effects(&mut sync, NOW + 10), [Effect::Capture, Effect::InterruptPull, Effect::Push { changes_max: 500 }]);
    sync.handle(Event::Pulled(Pulled::Interrupted), NOW + 11);
    assert_eq!(effects(&mut sync, NOW + 11), [Effect::Pull { wait_ms: 0 }]);
    assert!(!sync.settled_since(NOW + 10));
    sync.handle(Event::Captured(Captured::Done { added: 0, more: false }), NOW + 12);
    sync.handle(Event::Pushed(Pushed::Nothing), NOW + 12);
    sync.handle(Event::Pulled(Pulled::Nothing), NOW + 12);
    assert!(sync.settled_since(NOW + 10));
}

#[test]
fn trouble_backs_off_and_hints_cut_it_short() {
    let mut sync = machine();
    effects(&mut sync, NOW);
    let offline = || Trouble::Offline("no route".into());
    sync.handle(Event::Captured(Captured::Done { added: 0, more: false }), NOW);
    sync.handle(Event::Pulled(Pulled::Nothing), NOW);
    effects(&mut sync, NOW);
    sync.handle(Event::Pushed(Pushed::Trouble(offline())), NOW);
    assert_eq!(effects(&mut sync, NOW), [Effect::Push { changes_max: 500 }], "the first retry is at once");
    sync.handle(Event::Pushed(Pushed::Trouble(offline())), NOW);
    assert_eq!(effects(&mut sync, NOW + 700), []);
    sync.handle(Event::NetworkUp, NOW + 700);
    assert_eq!(effects(&mut sync, NOW + 700), [Effect::Push { changes_max: 500 }]);
    assert_eq!(sync.failures(), 2);
}

#[test]
fn a_rate_limit_is_obeyed_whatever_anybody_asks() {
    let mut sync = machine();
    effects(&mut sync, NOW);
    sync.handle(Event::Captured(Captured::Done { added: 0, more: false }), NOW);
    sync.handle(Event::Pulled(Pulled::Nothing), NOW);
    sync.handle(Event::Pushed(Pushed::Trouble(Trouble::RateLimited { retry_after_ms: 5000 })), NOW);
    sync.handle(Event::Asked, NOW + 1);
    assert_eq!(effects(&mut sync, NOW + 1), [Effect::Capture], "only local work");
    assert!(!effects(&mut sync, NOW + 5000).is_empty());
}

#[test]
fn a_refused_batch_is_halved_down_to_one() {
    let mut sync = machine();
    effects(&mut sync, NOW);
    let mut sizes = Vec::new();
    for _ in 0..9 {
        sync.handle(Event::Pushed(Pushed::Refused), NOW);
        sizes.extend(effects(&mut sync, NOW));
    }
    assert_eq!(sizes.last(), Some(&Effect::Push { changes_max: 1 }));
}

#[test]
fn a_pause_keeps_capturing_and_ends_by_itself() {
    let mut sync = machine();
    settle(&mut sync, NOW);
    sync.handle(Event::Pause { until_ms: Some(NOW + 1000) }, NOW);
    sync.handle(Event::StoreChanged, NOW);
    assert_eq!(effects(&mut sync, NOW), [Effect::Capture]);
    sync.handle(Event::Captured(Captured::Done { added: 1, more: false }), NOW);
    assert_eq!(effects(&mut sync, NOW), []);
    assert_eq!(sync.next_wakeup(), Some(NOW + 1000));
    assert!(effects(&mut sync, NOW + 1000).contains(&Effect::Push { changes_max: 500 }));
}

#[test]
fn a_server_without_long_poll_is_asked_on_the_timer() {
    let mut sync = machine();
    settle(&mut sync, NOW);
    assert_eq!(effects(&mut sync, NOW), [Effect::Pull { wait_ms: 25_000 }]);
    sync.handle(Event::Pulled(Pulled::Nothing), NOW + 3);
    assert_eq!(effects(&mut sync, NOW + 3), []);
    assert_eq!(sync.next_wakeup(), Some(NOW + 30_000));
}

#[test]
fn a_busy_store_is_tried_again_soon_and_the_page_is_kept() {
    let mut sync = machine();
    effects(&mut sync, NOW);
    sync.handle(Event::Pulled(Pulled::Page { more: false }), NOW);
    assert_eq!(effects(&mut sync, NOW), [Effect::Apply]);
    sync.handle(Event::Applied(Applied::Busy), NOW);
    assert_eq!(effects(&mut sync, NOW + 20), [Effect::Apply]);
    sync.handle(Event::Applied(Applied::Done), NOW + 21);
    assert_eq!(effects(&mut sync, NOW + 21), [Effect::Pull { wait_ms: 25_000 }]);
}

#[test]
fn a_capture_that_failed_is_tried_again_after_a_page() {
    let mut sync = machine();
    effects(&mut sync, NOW);
    for _ in 0..3 {
        sync.handle(Event::Captured(Captured::Failed), NOW);
        effects(&mut sync, NOW);
    }
    sync.handle(Event::Pulled(Pulled::Page { more: false }), NOW);
    assert_eq!(effects(&mut sync, NOW), [Effect::Apply]);
    sync.handle(Event::Captured(Captured::Failed), NOW);
    assert!(sync.next_wakeup().is_some_and(|wakeup| wakeup > NOW), "the capture waits");
    sync.handle(Event::Applied(Applied::Done), NOW);
    assert!(effects(&mut sync, NOW).contains(&Effect::Capture));
}
