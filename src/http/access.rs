//! The authorisation matrix: every route, whom it is for, and what of the book they see through it. The router is built from
//! this table, so there is no route that is not in it. `specs/access.md` is the same for people to read.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, get, post, put};

use crate::domain::Role::{self, Auditor, Channel, Operator, Payer};

use super::problem::Problem;
use super::{
    App, batches, clients, door, evidence, health, instructions, log, programmes, proofs, receipts, reports,
    wallets,
};

/// Whom a route is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Everybody, unsigned.
    Everybody,
    /// Clients of these roles, signed.
    Clients(&'static [Role]),
}

/// What a client of another role is told.
#[derive(Debug, Clone, Copy)]
enum Otherwise {
    /// 403: that there is such a request is no secret.
    Forbidden,
    /// 404, the same as for a thing that does not exist.
    Unknown(fn() -> Problem),
}

/// A route of the interface.
#[derive(Clone, Copy)]
pub struct Route {
    /// GET (which answers HEAD too), POST or PUT.
    pub method: &'static str,
    /// Its path, with names in braces for what varies.
    pub path: &'static str,
    /// Whom it is for.
    pub who: Who,
    /// What of the book a role sees or touches through it, where that is not everything.
    pub scope: &'static str,
    otherwise: Otherwise,
    handler: fn() -> MethodRouter<Arc<App>>,
}

impl Route {
    /// What a client is told that this route is not for.
    pub(super) fn refusal(&self) -> Problem {
        match self.otherwise {
            Otherwise::Unknown(problem) => problem(),
            Otherwise::Forbidden => {
                let detail = "This request is not for clients of this role.";
                Problem::new(StatusCode::FORBIDDEN, "role_forbidden", detail)
            }
        }
    }
}

const ALL: &[Role] = &Role::ALL;
const PAYERS: &[Role] = &[Payer];
const OWN_PAYER: &str = "a payer: its own BIN";
const OWN_BATCHES: &str = "a payer: batches of its own BIN";
const OWN_ENTRIES: &str = "others than auditor and operator: entries of its own requests";

const OWN_CLIENT: &str = "others than auditor and operator: itself";
const OWN_KEYS: &str =
    "others than operator: its own; for another operator or an authority it takes two operators";
const OWN_REVOKED: &str = "others than operator: its own";
const TWO_CLIENT: &str = "an operator or an authority takes two operators";

type Handler = fn() -> MethodRouter<Arc<App>>;

const fn public(path: &'static str, handler: Handler) -> Route {
    Route { method: "GET", path, who: Who::Everybody, scope: "", otherwise: Otherwise::Forbidden, handler }
}

const fn route(
    method: &'static str,
    path: &'static str,
    roles: &'static [Role],
    scope: &'static str,
    handler: Handler,
) -> Route {
    Route { method, path, who: Who::Clients(roles), scope, otherwise: Otherwise::Forbidden, handler }
}

/// A route that tells nobody else whether there is such a thing.
const fn hidden(route: Route, unknown: fn() -> Problem) -> Route {
    Route { otherwise: Otherwise::Unknown(unknown), ..route }
}

/// All routes.
pub static ROUTES: &[Route] = &[
    public("/health/live", || get(health::live)),
    public("/health/ready", || get(health::ready)),
    public("/log/checkpoint", || get(log::checkpoint)),
    public("/log/tile/{*path}", || get(log::tile)),
    hidden(route("GET", "/log/tile/entries/{*path}", &[Auditor], "", || get(log::bundle)), log::unknown),
    route("GET", "/v1/log/inclusion", ALL, "", || get(proofs::inclusion)),
    route("GET", "/v1/log/consistency", ALL, "", || get(proofs::consistency)),
    route("GET", "/v1/book", ALL, "", || get(health::book)),
    route("GET", "/v1/programmes", &[Payer, Auditor, Operator], OWN_PAYER, || get(programmes::list)),
    route("POST", "/v1/programmes", &[Operator], "", || post(programmes::register)),
    hidden(
        route("GET", "/v1/programmes/{code}", &[Payer, Auditor, Operator], OWN_PAYER, || {
            get(programmes::show)
        }),
        programmes::unknown,
    ),
    route("POST", "/v1/programmes/{code}/fundings", &[Operator], "asks for an approval", || {
        post(programmes::fund)
    }),
    route(
        "POST",
        "/v1/wallets",
        &[Payer, Channel, Operator],
        "a payer: the wallet's id, never what is in it",
        || post(wallets::open),
    ),
    hidden(
        route("POST", "/v1/wallets/lookup", &[Channel, Auditor, Operator], "", || post(wallets::lookup)),
        wallets::unknown,
    ),
    hidden(
        route("GET", "/v1/wallets/{id}", &[Channel, Auditor, Operator], "", || get(wallets::show)),
        wallets::unknown,
    ),
    hidden(
        route("GET", "/v1/wallets/{id}/balance", &[Channel, Auditor, Operator], "", || get(wallets::balance)),
        wallets::unknown,
    ),
    hidden(
        route("GET", "/v1/wallets/{id}/statement", &[Channel, Auditor, Operator], "", || {
            get(wallets::statement)
        }),
        wallets::unknown,
    ),
    route("POST", "/v1/accruals", PAYERS, OWN_PAYER, || post(instructions::accrue)),
    route("POST", "/v1/reversals", PAYERS, OWN_PAYER, || post(instructions::reverse)),
    route("GET", "/v1/entries/{entry}", ALL, OWN_ENTRIES, || get(instructions::entry)),
    route("GET", "/v1/entries/{entry}/receipt", ALL, OWN_ENTRIES, || get(receipts::of_entry)),
    hidden(
        route("GET", "/v1/entries/{entry}/evidence", &[Auditor], "", || get(evidence::of_entry)),
        evidence::unknown,
    ),
    route("GET", "/v1/receipt", ALL, "its own requests", || get(receipts::of_instruction)),
    route("PUT", "/v1/batches/{id}", PAYERS, OWN_BATCHES, || put(batches::open)),
    hidden(
        route("GET", "/v1/batches/{id}", &[Payer, Auditor, Operator], OWN_BATCHES, || get(batches::show)),
        batches::unknown,
    ),
    hidden(
        route("POST", "/v1/batches/{id}/release", PAYERS, OWN_BATCHES, || post(batches::release)),
        batches::unknown,
    ),
    hidden(
        route("POST", "/v1/batches/{id}/close", PAYERS, OWN_BATCHES, || post(batches::close)),
        batches::unknown,
    ),
    hidden(
        route("POST", "/v1/batches/{id}/cancel", PAYERS, OWN_BATCHES, || post(batches::cancel)),
        batches::unknown,
    ),
    hidden(
        route("PUT", "/v1/batches/{id}/chunks/{first_line}", PAYERS, OWN_BATCHES, || put(batches::chunk)),
        batches::unknown,
    ),
    hidden(
        route("GET", "/v1/batches/{id}/verdicts", &[Payer, Auditor, Operator], OWN_BATCHES, || {
            get(batches::verdicts)
        }),
        batches::unknown,
    ),
    route("GET", "/v1/clients", &[Auditor, Operator], "", || get(clients::list)),
    route("POST", "/v1/clients", &[Operator], TWO_CLIENT, || post(clients::register)),
    route("GET", "/v1/clients/{id}", ALL, OWN_CLIENT, || get(clients::show)),
    route("POST", "/v1/clients/{id}/keys", ALL, OWN_KEYS, || post(clients::add_key)),
    route("POST", "/v1/clients/{id}/keys/{key}/revoke", ALL, OWN_REVOKED, || post(clients::revoke_key)),
    route("POST", "/v1/clients/{id}/suspend", &[Operator], "not itself", || post(clients::suspend)),
    route("POST", "/v1/clients/{id}/reinstate", &[Operator], "", || post(clients::reinstate)),
    route("GET", "/v1/approvals", &[Auditor, Operator], "", || get(clients::approvals)),
    route("POST", "/v1/approvals", &[Operator], "", || post(clients::request_approval)),
    route("GET", "/v1/approvals/{entry}", &[Auditor, Operator], "", || get(clients::approval)),
    route("POST", "/v1/approvals/{entry}/approve", &[Operator], "not its own request", || {
        post(clients::approve)
    }),
    route("POST", "/v1/approvals/{entry}/close", &[Operator], "", || post(clients::close_approval)),
    route("GET", "/v1/reports/trial-balance", &[Auditor, Operator], "", || get(reports::trial_balance)),
    route("GET", "/v1/reports/programmes", &[Payer, Auditor, Operator], OWN_PAYER, || {
        get(reports::programmes)
    }),
];

/// A router of all routes, each behind the door.
pub(super) fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    ROUTES.iter().fold(Router::new(), |router, route| {
        let layer = from_fn_with_state((Arc::clone(app), route), door::enter);
        router.route(route.path, (route.handler)().route_layer(layer))
    })
}

/// The matrix as `specs/access.md` has it.
#[must_use]
pub fn document() -> String {
    use std::fmt::Write as _;
    let mut text = String::from(
        "# Who may do what\n\n\
         Generated from `src/http/access.rs`, which the router is built from; a test holds this file to it, and tries every\n\
         row as every role and unsigned. `x`: may. `404`: is told that there is no such thing. `403`: is told that the request\n\
         is not for its role. Unsigned requests are answered 401 but for the rows of everybody.\n\n| request |",
    );
    for role in Role::ALL {
        write!(text, " {role} |").expect("a String takes everything");
    }
    text.push_str(" within |\n|---|");
    text.push_str(&":-:|".repeat(Role::ALL.len()));
    text.push_str("---|\n");
    for route in ROUTES {
        write!(text, "| `{} {}` |", route.method, route.path).expect("a String takes everything");
        for role in Role::ALL {
            let mark = match (route.who, route.otherwise) {
                (Who::Everybody, _) => "x",
                (Who::Clients(roles), _) if roles.contains(&role) => "x",
                (_, Otherwise::Forbidden) => "403",
                (_, Otherwise::Unknown(_)) => "404",
            };
            write!(text, " {mark} |").expect("a String takes everything");
        }
        let within = if route.who == Who::Everybody { "everybody, unsigned" } else { route.scope };
        writeln!(text, " {within} |").expect("a String takes everything");
    }
    text
}
