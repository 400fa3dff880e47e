//! The description against the code: what one has and the other lacks fails here.

use axum::body::Body;
use axum::http::Method;

use super::*;
use crate::http::HttpSettings;
use crate::http::error::ErrorCode;
use crate::http::params::KNOWN;
use crate::http::tests::{App, body_json};

/// Whether a problem with this code may be the answer of a method of a path, as the description has it. Methods that it does
/// not have are answered with the problem that says so. Of paths that it does not have (a test may have put something there) it
/// says nothing.
pub(in crate::http) fn has_problem(method: &Method, uri: &str, status: u16, code: &str) -> bool {
    let document = description("");
    let path = uri.split('?').next().unwrap_or_default();
    let template = Route::ALL.iter().find(|route| is_of(route.path(), path));
    let Some(template) = template else { return true };
    // `HEAD` is answered as `GET`.
    let method = match method.as_str() {
        "HEAD" => "get".to_owned(),
        method => method.to_ascii_lowercase(),
    };
    let operation = &document["paths"][template.path()][method];
    if operation.is_null() {
        return code == ErrorCode::MethodNotAllowed.as_str();
    }
    codes(&operation["responses"][status.to_string()]).contains(&code)
}

/// Whether a path is one that a template means: its rooms and sources stand for any segment.
fn is_of(template: &str, path: &str) -> bool {
    let (mut wanted, mut given) = (template.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some(wanted), Some(given)) if wanted.starts_with('{') || wanted == given => {}
            _ => return false,
        }
    }
}

/// The codes of an answer that is a problem.
fn codes(response: &Value) -> Vec<&str> {
    let parts = &response["content"]["application/problem+json"]["schema"]["allOf"];
    let codes = parts[1]["properties"]["code"]["enum"].as_array();
    codes.into_iter().flatten().filter_map(Value::as_str).collect()
}

/// All operations, with their paths and methods.
fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = document["paths"].as_object().expect("paths");
    let methods = paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().into_iter().flatten();
        methods.map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    });
    methods.filter(|(_, method, _)| *method != "parameters").collect()
}

/// The parameters of a request for events.
fn of_events(document: &Value) -> Vec<&Value> {
    let references = document["paths"]["/v1/events"]["get"]["parameters"].as_array();
    let references = references
        .into_iter()
        .flatten()
        .filter_map(|one| one["$ref"].as_str());
    let resolved = references.map(|reference| document.pointer(reference.trim_start_matches('#')));
    resolved
        .map(|parameter| parameter.expect("a parameter of the components"))
        .collect()
}

#[test]
fn the_committed_document_is_that_of_the_code() {
    let committed = include_str!("../../../docs/openapi.json");
    let described = serde_json::to_string_pretty(&description("")).unwrap() + "\n";
    assert!(
        committed == described,
        "docs/openapi.json is out of date: cargo run -- openapi > docs/openapi.json"
    );
}

#[test]
fn every_code_is_documented_with_its_status() {
    let document = description("");
    let operations = operations(&document);
    for code in ErrorCode::ALL {
        let status = code.status().as_u16().to_string();
        let is_documented = operations
            .iter()
            .any(|(_, _, operation)| codes(&operation["responses"][&status]).contains(&code.as_str()));
        // Only a method that is not documented has it.
        assert_ne!(is_documented, *code == ErrorCode::MethodNotAllowed, "{code:?}");
    }
}

#[test]
fn every_parameter_is_documented() {
    let document = description("");
    let parameters = of_events(&document);
    let queries = parameters
        .into_iter()
        .filter(|parameter| parameter["in"] == "query");
    let schemes = document["components"]["securitySchemes"]
        .as_object()
        .unwrap()
        .values();
    let schemes = schemes.filter(|scheme| scheme["in"] == "query");
    let mut documented: Vec<&str> = queries
        .chain(schemes)
        .filter_map(|one| one["name"].as_str())
        .collect();
    documented.sort_unstable();
    let mut known = KNOWN;
    known.sort_unstable();
    assert_eq!(documented, known);
}

#[tokio::test]
async fn the_bounds_are_those_that_are_checked() {
    let document = description("");
    let parameters = of_events(&document);
    let app = App::new();
    let mut bounded = 0;
    for parameter in parameters {
        let (name, schema) = (parameter["name"].as_str().unwrap(), &parameter["schema"]);
        let (Some(least), Some(most)) = (schema["minimum"].as_i64(), schema["maximum"].as_u64()) else {
            continue;
        };
        bounded += 1;
        let outside = [i128::from(least) - 1, i128::from(most) + 1];
        for (number, is_good) in [(i128::from(least), true), (most.into(), true)]
            .into_iter()
            .chain(outside.map(|number| (number, false)))
        {
            // As `HEAD`, which does not wait.
            let uri = format!("/v1/events?room=a&{name}={number}");
            let answer = app.send(Method::HEAD, &uri, &[], Body::empty()).await;
            assert_eq!(answer.status() == 200, is_good, "{uri}: {}", answer.status());
        }
    }
    assert_eq!(bounded, 4);
}

#[tokio::test]
async fn every_path_has_the_methods_that_are_documented() {
    let document = description("");
    let app = App::new();
    for route in Route::ALL {
        let uri = route
            .path()
            .replace("{room}", "a")
            .replace("{source}", "messages");
        let answer = app.send(Method::PATCH, &uri, &[], Body::empty()).await;
        let allowed = answer.headers()["allow"].to_str().unwrap().to_ascii_lowercase();
        let mut allowed: Vec<&str> = allowed.split(',').filter(|method| *method != "head").collect();
        allowed.sort_unstable();
        let operations = operations(&document);
        let documented: Vec<&str> = operations
            .iter()
            .filter(|(path, _, _)| *path == route.path())
            .map(|(_, method, _)| *method)
            .collect();
        assert_eq!(allowed, documented, "{uri}");
    }
}

#[tokio::test]
async fn it_stands_under_the_base_path_and_names_it() {
    for (base_path, path, server) in [
        ("", "/openapi.json", "/"),
        ("/live/", "/live/openapi.json", "/live"),
    ] {
        let app = App::with(HttpSettings {
            base_path: base_path.into(),
            ..HttpSettings::default()
        });
        let answer = app.get(path, &[]).await;
        assert_eq!(answer.headers()["content-type"], "application/json");
        assert_eq!(answer.headers()["access-control-allow-origin"], "*");
        let document = body_json(answer).await;
        assert_eq!(document["servers"], json!([{ "url": server }]));
        assert_eq!(document["paths"], description("")["paths"]);
    }
}
