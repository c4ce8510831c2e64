//! Dead letters over HTTP: shown page by page, newest last, and sent again.

use serde_json::{Value, json};
use wasmill_tests::http::Answered;
use wasmill_tests::member::Member;
use wasmill_tests::until::{LONG, until};
use wasmill_tests::wasmill::records;

use crate::stage::Stage;

const LETTERS: &str = "/v1/processors/stamp/dead-letters";

fn list(stage: &Stage, query: &str) -> Value {
    let answer = stage.ask.get(&format!("{LETTERS}{query}"));
    assert_eq!(answer.status, 200, "{query}: {answer:?}");
    answer.json()
}

fn places(page: &Value) -> Vec<String> {
    let letters = page["dead_letters"].as_array().expect("a list").iter();
    letters.map(|l| l["place"].as_str().expect("a place").to_owned()).collect()
}

fn replay(stage: &Stage, body: Value) -> Answered {
    stage.ask.send("POST", &format!("{LETTERS}/replay"), &[], body.to_string().as_bytes())
}

fn deploy(stage: &Stage, settings: &str) {
    let answer = stage.application.ask(&["deploy", "stamp", "--settings", settings]);
    assert_eq!(answer.code, Some(0), "{answer:?}");
}

/// Makes five; gives the partition that they are in.
fn make_letters(stage: &Stage) -> i64 {
    assert_eq!(list(stage, ""), json!({"processor": "stamp", "total": 0, "older": null, "dead_letters": []}));
    deploy(stage, r#"{"tag": "2", "fails_on": "bad"}"#);
    // Enough for its probation: until then the version before is its judge.
    stage.process(1000);
    stage.process_these((0..5).map(|n| ("key-0".to_owned(), format!("bad {n}"))));
    list(stage, "")["dead_letters"][0]["partition"].as_i64().expect("a number")
}

#[test]
fn dead_letters_are_shown_and_sent_again() {
    let mut stage = Stage::new(None);
    let p = make_letters(&stage);
    they_are_shown_page_by_page(&stage);
    some_are_shown_whole(&stage, p);
    // Repaired.
    deploy(&stage, r#"{"tag": "3"}"#);
    let sent = replay(&stage, json!({"places": [format!("{p}/0")]})).json();
    let first = list(&stage, "")["dead_letters"][0].clone();
    assert_eq!(sent, json!({"processor": "stamp", "sent": [first["place"]], "passed_over": []}));
    assert_eq!(first["sent_again"], true, "{first}");
    let rest = replay(&stage, json!({"all": true})).json();
    assert_eq!(
        (rest["sent"].as_array().map(Vec::len), &rest["passed_over"][0]["dead_letter"]),
        (Some(4), &first["place"])
    );
    let twice = replay(&stage, json!({"all": true})).json();
    assert_eq!((&twice["sent"], twice["passed_over"].as_array().map(Vec::len)), (&json!([]), Some(5)), "{twice}");
    let again = replay(&stage, json!({"places": [first["place"]], "again": true})).json();
    assert_eq!(again["sent"], json!([first["place"]]), "{again}");
    made_are_all_of_them(&mut stage, p as i32);
    foreign_readers_are_named(&stage, p as i32, &first["place"]);
    assert!(stage.host.stop().success(), "{}", stage.host.last_words());
}

fn they_are_shown_page_by_page(stage: &Stage) {
    let all = list(stage, "");
    let in_order = places(&all);
    assert_eq!((&all["total"], &all["older"], in_order.len()), (&json!(5), &Value::Null, 5), "{all}");
    let (mut query, mut seen) = ("?limit=2".to_owned(), Vec::new());
    for expected in [2, 2, 1] {
        let page = list(stage, &query);
        assert_eq!((&page["total"], places(&page).len()), (&json!(5), expected), "{page}");
        seen.splice(0..0, places(&page));
        query = format!("?limit=2&before={}", page["older"].as_str().unwrap_or_default());
    }
    assert_eq!(
        (seen, query.as_str()),
        (in_order, "?limit=2&before="),
        "the newest come first, and the last page says so"
    );
    let letter = &all["dead_letters"][4];
    assert_eq!((&letter["kind"], &letter["sent_again"]), (&json!("failure:asked-for"), &json!(false)), "{letter}");
    assert!(letter["position"].as_str().is_some_and(|at| at.starts_with("in/")) && letter.get("value").is_none());
}

fn some_are_shown_whole(stage: &Stage, p: i64) {
    let all = places(&list(stage, ""));
    let query = format!("?whole=true&place={},{}&place={}", all[0], all[1], all[4]);
    let some = list(stage, &query);
    assert_eq!(places(&some), [all[0].as_str(), &all[1], &all[4]], "{some}");
    let letter = &some["dead_letters"][2];
    assert_eq!((&letter["key"]["text"], &letter["value"]["text"]), (&json!("key-0"), &json!("bad 4")), "{letter}");
    assert!(letter["headers"].as_array().is_some_and(|all| all.iter().any(|h| h["value"]["text"] == "in")), "{letter}");
    assert_eq!(list(stage, &format!("?place={p}"))["total"], 5, "a whole partition");
    let command = stage.application.ask(&["dlq", "show", "stamp", &all[4], "--json"]).json();
    assert_eq!(command["dead_letters"][0], *letter, "the command tells the same");
}

/// Each made something once, the first one twice, and once more as asked.
fn made_are_all_of_them(stage: &mut Stage, p: i32) {
    let expected = ["bad 0", "bad 1", "bad 2", "bad 3", "bad 4", "bad 0"];
    let made = until("all were processed", LONG, || {
        let texts: Vec<String> =
            records(&stage.broker, &mut stage.host, "out", p, 1).iter().map(|r| r.text()).collect();
        let made: Vec<String> = texts
            .iter()
            .filter_map(|t| t.rsplit_once('|'))
            .filter(|(_, v)| v.starts_with("bad"))
            .map(|(_, v)| v.to_owned())
            .collect();
        (made.len() >= expected.len()).then_some(made)
    });
    assert_eq!(made, expected);
}

fn foreign_readers_are_named(stage: &Stage, p: i32, place: &Value) {
    Member::outside(&stage.broker, "audit", &[]).commit("in", p, 1, "").expect("a commit");
    let refused = replay(stage, json!({"places": [place], "again": true}));
    assert_eq!(refused.status, 422, "{refused:?}");
    let says = ["in is also read by audit", "`\"shared\": true`"];
    assert!(says.iter().all(|text| refused.detail().contains(text)), "{}", refused.detail());
    let sent = replay(stage, json!({"places": [place], "again": true, "shared": true}));
    assert_eq!((sent.status, &sent.json()["sent"][0]), (200, place), "{sent:?}");
}
