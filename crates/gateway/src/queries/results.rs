//! Results of the whole fleet: pages, a stream of lines, a table.

use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use vtox_protocol::{EntryId, FaultType, Status, VehicleId, keys, timestamp};

use super::record::Record;
use super::{MAX_RECORDS, csv};
use crate::api::Api;
use crate::input;
use crate::reply::{Code, Refusal};
use crate::schema::Answer;

/// Entries read at a time.
const CHUNK: usize = 500;
/// Most entries that are looked through for one page.
const MAX_LOOK: usize = 20_000;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ResultsQuery {
    /// Of these vehicles alone, divided by commas.
    vehicle_id: Option<String>,
    /// Of this fault type alone.
    #[param(inline, value_type = Option<FaultType>)]
    fault_type: Option<String>,
    /// With this verdict alone.
    #[param(inline)]
    status: Option<Status>,
    /// Diagnosed from here on: ISO 8601 or ms since 1970.
    from: Option<String>,
    /// Diagnosed up to here.
    to: Option<String>,
    /// Behind this result: `next` of the page before.
    after: Option<String>,
    /// Results of a page; 100 when it is left out. Lines and tables have no pages.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// The same as Accept, for browsers.
    #[param(inline)]
    format: Option<Format>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Format {
    Json,
    Ndjson,
    Csv,
}

/// A page of results, oldest first.
#[derive(Serialize, ToSchema)]
pub struct ResultsPage {
    results: Vec<Record>,
    /// Give it as `after` for what follows; none: there is no more.
    next: Option<String>,
}

/// What is asked for.
#[derive(Clone)]
struct Selection {
    vehicles: Vec<VehicleId>,
    fault: Option<FaultType>,
    status: Option<Status>,
    until_ms: u64,
}

impl Selection {
    fn has(&self, record: &Record) -> bool {
        (self.vehicles.is_empty() || self.vehicles.contains(&record.vehicle_id))
            && self.fault.is_none_or(|f| record.fault_type == f)
            && self.status.is_none_or(|s| record.status == s)
    }
}

/// Results of many vehicles
///
/// Those that are kept (`bridge.results_retention_s`), oldest first: as pages (`application/json`), or all of them as one JSON
/// object per line (`application/x-ndjson`) or as a table (`text/csv`). In the table a text that begins with `=`, `+`, `-`, `@`, a
/// tab or a line end has a `'` before it, so that no spreadsheet takes it for a formula.
#[utoipa::path(
    get,
    path = "/api/v1/results",
    tag = "Vehicles",
    params(ResultsQuery),
    responses((status = 200, description = "Results.", content(
        (Answer<ResultsPage> = "application/json"), (Record = "application/x-ndjson"), (String = "text/csv"),
    ))),
)]
pub async fn results(
    State(api): State<Arc<Api>>,
    query: Result<Query<ResultsQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let query = input::query(query)?;
    let limit = query.limit.unwrap_or(100);
    if !(1..=MAX_RECORDS).contains(&limit) {
        return Err(input::invalid(format!("limit is {limit}; 1 to {MAX_RECORDS} is expected")));
    }
    let format = query.format.map_or_else(|| accepted(&headers), Ok)?;
    let after = first(&query)?;
    let now_ms = api.clock.now_ms();
    let selection = Selection {
        vehicles: named(query.vehicle_id.as_deref())?,
        fault: input::fault_type(query.fault_type.as_deref())?,
        status: query.status,
        until_ms: query.to.as_deref().map_or(Ok(now_ms), moment)?,
    };
    match format {
        Format::Json => Ok(Json(Answer::of(page(&api, &selection, after, limit).await?)).into_response()),
        Format::Ndjson => Ok(streamed(api, selection, after, "application/x-ndjson", None, |record| {
            serde_json::to_string(record).unwrap_or_default() + "\n"
        })),
        Format::Csv => {
            Ok(streamed(api, selection, after, "text/csv; charset=utf-8", Some(csv::HEAD), csv::row))
        }
    }
}

fn named(list: Option<&str>) -> Result<Vec<VehicleId>, Refusal> {
    list.unwrap_or_default().split(',').filter(|id| !id.is_empty()).map(input::vehicle_id).collect()
}

/// Behind which entry to begin.
fn first(query: &ResultsQuery) -> Result<EntryId, Refusal> {
    if let Some(after) = &query.after {
        return after.parse().map_err(|e| input::invalid(format!("after: {e}")));
    }
    let from_ms = query.from.as_deref().map_or(Ok(0), moment)?;
    Ok(from_ms.checked_sub(1).map_or(EntryId::ZERO, |ms| EntryId { ms, seq: u64::MAX }))
}

/// Ms since 1970.
fn moment(text: &str) -> Result<u64, Refusal> {
    text.parse().ok().or_else(|| timestamp::parse_iso8601(text)).ok_or_else(|| {
        input::invalid(format!("{text:?} is no time; ISO 8601 with a zone, or ms since 1970, is expected"))
    })
}

/// The form that Accept prefers of those there are.
fn accepted(headers: &HeaderMap) -> Result<Format, Refusal> {
    let Some(accept) = headers.get(header::ACCEPT) else { return Ok(Format::Json) };
    let accept = accept.to_str().unwrap_or_default().to_ascii_lowercase();
    let mut offered: Vec<(f32, Format)> = accept.split(',').filter_map(weighed).collect();
    // The sort is stable: of those that weigh the same, the first one named.
    offered.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let best = offered.first().filter(|(q, _)| *q > 0.0).map(|(_, format)| *format);
    best.ok_or_else(|| Refusal::new(Code::NotAcceptable, format!("nothing of {accept:?} is offered here")))
}

/// A part of Accept with its weight (RFC 9110, 12.5.1), if it is one of ours.
fn weighed(part: &str) -> Option<(f32, Format)> {
    let mut words = part.split(';').map(str::trim);
    let format = match words.next()? {
        "application/json" | "application/*" | "*/*" => Format::Json,
        "application/x-ndjson" | "application/ndjson" => Format::Ndjson,
        "text/csv" | "text/*" => Format::Csv,
        _ => return None,
    };
    let q = words.find_map(|word| word.strip_prefix("q=")).map_or(Some(1.0), |q| q.trim().parse().ok());
    Some((q.filter(|q| (0.0..=1.0).contains(q)).unwrap_or(0.0), format))
}

async fn page(
    api: &Api,
    selection: &Selection,
    mut after: EntryId,
    limit: usize,
) -> Result<ResultsPage, Refusal> {
    let mut results = Vec::new();
    let mut looked = 0;
    loop {
        let entries = api.views.range(keys::RESULTS, after, selection.until_ms, CHUNK).await?;
        let ended = entries.len() < CHUNK;
        looked += entries.len();
        for entry in entries {
            if results.len() == limit {
                return Ok(ResultsPage { results, next: Some(after.to_string()) });
            }
            after = entry.id;
            results.extend(Record::of(&entry.text_fields(), None).filter(|r| selection.has(r)));
        }
        if ended || looked >= MAX_LOOK {
            return Ok(ResultsPage { results, next: (!ended).then(|| after.to_string()) });
        }
    }
}

/// All results as they are read, so that no answer is held in memory.
fn streamed(
    api: Arc<Api>,
    selection: Selection,
    after: EntryId,
    content_type: &'static str,
    head: Option<&'static str>,
    write: impl Fn(&Record) -> String + Send + Sync + 'static,
) -> Response {
    let chunks = stream::try_unfold(Some(after), move |after| {
        let (api, selection) = (api.clone(), selection.clone());
        async move {
            let Some(after) = after else { return Ok(None) };
            let entries = api.views.range(keys::RESULTS, after, selection.until_ms, CHUNK).await?;
            let next = entries.last().filter(|_| entries.len() == CHUNK).map(|e| e.id);
            let records: Vec<Record> = entries
                .iter()
                .filter_map(|e| Record::of(&e.text_fields(), None))
                .filter(|r| selection.has(r))
                .collect();
            Ok::<_, vtox_streams::StreamError>(Some((records, next)))
        }
    });
    let lines = chunks.map_ok(move |records| Bytes::from(records.iter().map(&write).collect::<String>()));
    let head = stream::iter(head).map(|h| Ok(Bytes::from_static(h.as_bytes())));
    ([(header::CONTENT_TYPE, content_type)], Body::from_stream(head.chain(lines))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_follows_accept() {
        let of = |accept: &str| accepted(&HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())]));
        assert_eq!(of("text/csv, */*").unwrap(), Format::Csv);
        assert_eq!(of("application/x-ndjson").unwrap(), Format::Ndjson);
        assert_eq!(of("text/html, */*;q=0.8").unwrap(), Format::Json);
        assert_eq!(of("text/csv;q=0, application/json").unwrap(), Format::Json);
        assert_eq!(of("text/csv;q=0, */*").unwrap(), Format::Json);
        assert_eq!(of("text/csv;q=0.5, application/json; q=0.9").unwrap(), Format::Json);
        assert_eq!(of("application/json;q=0.1, text/csv").unwrap(), Format::Csv);
        assert_eq!(of("text/csv;q=0").unwrap_err().code, Code::NotAcceptable);
        assert_eq!(of("image/png").unwrap_err().code, Code::NotAcceptable);
    }
}
