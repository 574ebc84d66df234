//! What can be set, in the file and while the service runs.

use axum::http::Request;
use serde_json::{Value, json};
use tidegate::circuit_breaker::State;
use web::{settings::Settings, upstream::Mode};

use crate::service::{Response, Service};

const FILE: &str = include_str!("../../settings.toml");

/// Posts a change of the settings.
async fn post(service: &Service, token: &str, body: &str) -> Response {
    let request = Request::post("/").header("content-type", "application/json");
    let request = request.header("authorization", token);
    service.send("/settings", request, body).await.unwrap()
}

/// Changes the settings as one who has the token, and returns status and text of the answer.
async fn change(service: &Service, body: &Value) -> (u16, String) {
    let token = format!("Bearer {}", service.server.token().as_str());
    let response = post(service, &token, &body.to_string()).await;
    (response.status.as_u16(), response.body)
}

async fn settings(service: &Service) -> Value {
    let response = service.send("/settings", Request::get("/"), "").await.unwrap();
    serde_json::from_str(&response.body).unwrap()
}

#[tokio::test]
async fn settings_are_changed_by_callers_with_the_token_alone() {
    let service = Service::start(|_| {}).await;
    let body = r#"{"guard":{"quota":"5/s burst 7"}}"#;
    for token in ["", "Bearer wrong"] {
        assert_eq!(post(&service, token, body).await.status, 401);
        let limit = service.item("203.0.113.7", 1).await;
        assert_eq!(limit.header("x-ratelimit-limit"), "40");
    }
    let token = format!("Bearer {}", service.server.token().as_str());
    assert_eq!(post(&service, &token, body).await.status, 200);
    assert_eq!(service.item("203.0.113.7", 1).await.header("x-ratelimit-limit"), "7");
}

#[tokio::test]
async fn a_part_of_a_table_changes_that_part_alone() {
    let service = Service::start(|_| {}).await;
    let mut expected = settings(&service).await;
    for (path, value, changes) in [
        ("/guard/quota", json!("5/s burst 7"), json!({"guard":{"quota":"5/s burst 7"}})),
        ("/guard/limit/max", json!(9), json!({"guard":{"limit":{"max":9}}})),
        (
            "/guard/breaker/window/span",
            json!("5s"),
            json!({"guard":{"breaker":{"window":{"span":"5s"}}}}),
        ),
        // RFC 7396: what is null is taken away.
        (
            "/guard/breaker/minimum_calls",
            json!(null),
            json!({"guard":{"breaker":{"minimum_calls":null}}}),
        ),
        ("/pool/threads", json!({"min":1,"max":3}), json!({"pool":{"threads":{"min":1,"max":3}}})),
        ("/pool/threads/max", json!(4), json!({"pool":{"threads":{"max":4}}})),
        ("/pages/permits", json!(3), json!({"pages":{"permits":3}})),
    ] {
        let (status, answer) = change(&service, &changes).await;
        assert_eq!(status, 200, "{changes}: {answer}");
        *expected.pointer_mut(path).unwrap() = value;
        assert_eq!(settings(&service).await, expected, "{changes}");
        assert_eq!(serde_json::from_str::<Value>(&answer).unwrap(), expected);
    }
}

#[tokio::test]
async fn changes_apply_to_the_running_objects() {
    let service = Service::start(|settings| settings.pages.permits = 1).await;
    let web = service.server.web();
    let parts = web.current().parts.clone();
    assert_eq!(service.item("203.0.113.7", 1).await.header("x-ratelimit-remaining"), "39");
    parts.breaker.force_open();
    web.upstream.set_mode(Mode::Down);

    let changes = json!({
        "guard": {
            "quota": "20/h burst 30",
            "limit": {"min": 9, "max": 9},
            "breaker": {"consecutive": 2, "failure_rate": null, "minimum_calls": null, "window": null},
        },
        "pool": {"threads": 3},
        "pages": {"permits": 5},
    });
    let (status, answer) = change(&service, &changes).await;
    assert_eq!(status, 200, "{answer}");
    // What was there has the new settings, and knows what it knew.
    assert_eq!(parts.clients.quota().max_burst(), 30);
    assert_eq!(service.item("203.0.113.7", 1).await.header("x-ratelimit-remaining"), "29");
    assert_eq!((parts.limit.limit(), web.pool.stats().workers), (9, 3));
    assert_eq!((web.pages.capacity(), parts.breaker.state()), (5, State::ForcedOpen));
    parts.breaker.reset();
    parts.breaker.try_enter().unwrap().failure();
    // A change of something else leaves the breaker's count of failures alone.
    assert_eq!(change(&service, &json!({"guard":{"patience":"1ms"}})).await.0, 200);
    parts.breaker.try_enter().unwrap().failure();
    assert_eq!(parts.breaker.state(), State::Open);
}

#[tokio::test]
async fn a_wrong_setting_is_answered_with_its_value_and_range_and_changes_nothing() {
    let service = Service::start(|_| {}).await;
    let before = settings(&service).await;
    for (changes, answer) in [
        (json!({"guard":{"limit":{"min":65}}}), "guard.limit.min is 65, but must be in 1..=64"),
        (
            json!({"guard":{"breaker":{"failure_rate":2.0}}}),
            "guard.breaker.failure_rate is 2.0, but must be above 0 and at most 1",
        ),
        (
            json!({"pool":{"threads":0}}),
            "pool.threads is 0..=0, but must be a range within 1..=65535",
        ),
        (
            json!({"pages":{"permits":4_294_967_296_u64}}),
            "pages.permits is 4294967296, but must be in 0..=4294967295",
        ),
        (json!({"guard":{"quota":"0/s"}}), "guard.quota is \"0/s\": "),
        (
            json!({"guard":{"retry":{"initial":"1s"}}}),
            "guard.retry: initial is 1s, but must be at most its maximum of ",
        ),
        (json!({"guard":{"patience":50}}), "guard.patience is 50: "),
        (json!({"guard":{"quotas":"5/s"}}), "guard.quotas is \"5/s\": unknown field `quotas`, "),
        (
            json!({"guard":{"breaker":{"probe":1}}}),
            "guard.breaker.probe is 1: unknown field `probe`, ",
        ),
        (json!({"guard":{"quota":null}}), "guard: missing field `quota`"),
        (json!({"guards":{}}), "guards: unknown field `guards`, "),
        // What is fixed at the start.
        (
            json!({"guard":{"max_clients":5}}),
            "guard.max_clients is 5, but must be 10000 until the next start",
        ),
        (
            json!({"guard":{"breaker":{"seed":5}}}),
            "guard.breaker.seed is 5, but must be null until the next start",
        ),
        (
            json!({"log":{"batch":{"max_delay":"1s"}}}),
            "log.batch.max_delay is \"1s\", but must be \"20ms\" until the next start",
        ),
        (
            json!({"pool":{"threads":null}}),
            "pool.threads is null, but must be 2 until the next start",
        ),
    ] {
        // What is right beside what is wrong does not change either.
        let mut changes = changes;
        for (table, name, value) in
            [("guard", "timeout", json!("1s")), ("pages", "permits", json!(7))]
        {
            let table = changes.as_object_mut().unwrap().entry(table).or_insert(json!({}));
            table.as_object_mut().unwrap().entry(name).or_insert(value);
        }
        let (status, text) = change(&service, &changes).await;
        assert_eq!(status, 400, "{changes}");
        assert!(text.starts_with(answer), "{changes}: {text}");
        assert_eq!(settings(&service).await, before, "{changes}");
        let (web, parts) = (service.server.web(), &service.server.web().current().parts);
        let objects = (web.pages.capacity(), web.pool.stats().workers, parts.limit.limit());
        assert_eq!(objects, (32, 2, 4), "{changes}");
    }
}

#[test]
fn an_unknown_setting_of_the_file_is_refused_with_its_path_and_line() {
    assert_eq!(Settings::parse(FILE).unwrap(), Settings::default());
    for (line, wrong, path) in [
        ("threads = 2", "thread = 2", "pool.thread"),
        ("max_items = 500", "max_item = 500", "log.batch.max_item"),
        ("consecutive = 8", "failures = 8", "guard.breaker.failures"),
        ("quota = \"20/s", "quotas = \"20/s", "guard.quotas"),
        ("rate = 60", "rates = 60", "load.rates"),
    ] {
        assert!(FILE.contains(line));
        let error = Settings::parse(&FILE.replace(&format!("\n{line}"), &format!("\n{wrong}")));
        let error = error.unwrap_err().to_string();
        let name = path.rsplit('.').next().unwrap();
        assert!(error.starts_with(&format!("{path}: ")), "{error}");
        assert!(error.contains(&format!("unknown field `{name}`")), "{error}");
        let at = FILE.lines().position(|l| l.starts_with(line)).unwrap() + 1;
        assert!(error.contains(&format!("at line {at}, ")), "{error}");
    }
}

#[tokio::test]
async fn a_setting_of_the_file_that_is_out_of_range_is_refused_with_its_path() {
    for (line, wrong, error) in [
        ("max = 64", "max = 0", "guard.limit.max is 0, but must be in 1..=4294967295"),
        ("failure_rate = 0.5", "failure_rate = 0.0", "guard.breaker.failure_rate is 0.0, "),
        ("threads = 2", "threads = 0", "pool.threads is 0..=0, "),
        (
            "capacity = 1000",
            "capacity = 1",
            "log.batch.capacity is 1, but must be at least max_items",
        ),
    ] {
        assert!(FILE.contains(line));
        let wrong = FILE.replace(&format!("\n{line}"), &format!("\n{wrong}"));
        let started = Service::try_start(Settings::parse(&wrong).unwrap(), |_| {}).await;
        let text = started.err().unwrap().to_string();
        assert!(text.starts_with(error), "{text}");
    }
}
