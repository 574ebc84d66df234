//! What operators see, and what they can change.

use std::collections::BTreeSet;

use axum::http::Request;

use crate::service::Service;

/// Returns the names of metrics in `text`.
fn metrics(text: &str) -> BTreeSet<&str> {
    let words = text.split(|char: char| !(char.is_alphanumeric() || char == '_'));
    words.filter(|word| word.starts_with("tidegate_")).collect()
}

#[tokio::test]
async fn every_metric_of_the_dashboard_is_scraped() {
    let service = Service::start(|_| {}).await;
    assert_eq!(service.item("203.0.113.7", 1).await.status, 200);
    let scraped = service.send("/metrics", Request::get("/"), "").await.unwrap();
    assert!(scraped.header("content-type").starts_with("application/openmetrics-text"));
    let is_sample = |line: &&str| !line.starts_with('#');
    let samples: Vec<&str> = scraped.body.lines().filter(is_sample).collect();
    let samples = samples.join("\n");

    let dashboard = include_str!("../../../../docs/grafana/tidegate.json");
    let dashboard: serde_json::Value = serde_json::from_str(dashboard).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(!panels.is_empty());
    for panel in panels {
        let expression = panel["targets"][0]["expr"].as_str().unwrap();
        let asked = metrics(expression);
        assert!(!asked.is_empty() && asked.is_subset(&metrics(&samples)), "{expression}");
    }
}

#[tokio::test]
async fn buttons_are_for_the_page_alone() {
    let service = Service::start(|_| {}).await;
    let press = |kind: &str, body: &str| {
        service.send("/control", Request::post("/").header("content-type", kind), body)
    };
    // What a form of another site's page could send.
    assert_eq!(press("text/plain", r#"{"load":4}"#).await.unwrap().status, 415);
    assert_eq!(press("application/json", r#"{"load":17}"#).await.unwrap().status, 400);
    assert_eq!(service.server.web().load.factor(), 0);
    let pressed = press("application/json", r#"{"load":4,"mode":"slow"}"#).await.unwrap();
    assert_eq!(
        (pressed.status.as_u16(), pressed.body.as_str()),
        (200, r#"{"load":4,"mode":"slow"}"#)
    );
    assert_eq!(service.server.web().load.factor(), 4);
}
