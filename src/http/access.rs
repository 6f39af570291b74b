//! The authorisation matrix: every route, whom it is for, and what of the book they see through it. An operation without a row
//! here is not served. `specs/access.md` is the same for people to read.

use crate::domain::Role::{self, Auditor, Authority, Bank, Channel, Operator, Payer};

use super::catalogue::Code;
use super::openapi::operations::Operation;
use super::problem::Problem;
use super::{
    authorisations, batches, cash, evidence, log, orders, programmes, statements, transfers, wallets,
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
}

impl Route {
    /// What a client is told that this route is not for.
    pub(super) fn refusal(&self) -> Problem {
        match self.otherwise {
            Otherwise::Unknown(problem) => problem(),
            Otherwise::Forbidden => {
                Problem::new(Code::RoleForbidden, "This request is not for clients of this role.")
            }
        }
    }
}

const ALL: &[Role] = &Role::ALL;
const PAYERS: &[Role] = &[Payer];
const CHANNELS: &[Role] = &[Channel];
const BANKS: &[Role] = &[Bank];
const PARTIES: &[Role] = &[Bank, Channel, Auditor, Operator];
const OWN_PAYMENTS: &str = "a channel: under authorisations given to it; a bank: addressed to it";
const OWN_AUTHORISATIONS: &str = "a channel: given to it";
const OWN_PAYER: &str = "a payer: its own BIN";
const OWN_BATCHES: &str = "a payer: batches of its own BIN";
const OWN_ENTRIES: &str = "others than auditor and operator: entries of its own requests";

const OWN_ORDERS: &str = "an authority: its own BIN";

const OWN_CLIENT: &str = "others than auditor and operator: itself";
const OWN_KEYS: &str =
    "others than operator: its own; for another operator or an authority it takes two operators";
const OWN_REVOKED: &str = "others than operator: its own";
const TWO_CLIENT: &str = "an operator or an authority takes two operators";

const fn public(path: &'static str) -> Route {
    Route { method: "GET", path, who: Who::Everybody, scope: "", otherwise: Otherwise::Forbidden }
}

const fn route(
    method: &'static str,
    path: &'static str,
    roles: &'static [Role],
    scope: &'static str,
) -> Route {
    Route { method, path, who: Who::Clients(roles), scope, otherwise: Otherwise::Forbidden }
}

/// A route that tells nobody else whether there is such a thing.
const fn hidden(route: Route, unknown: fn() -> Problem) -> Route {
    Route { otherwise: Otherwise::Unknown(unknown), ..route }
}

/// All routes.
pub static ROUTES: &[Route] = &[
    public("/docs"),
    public("/openapi.json"),
    public("/health/live"),
    public("/health/ready"),
    public("/log/checkpoint"),
    public("/log/tile/{*path}"),
    hidden(route("GET", "/log/tile/entries/{*path}", &[Auditor], ""), log::unknown),
    route("GET", "/v1/log/inclusion", ALL, ""),
    route("GET", "/v1/log/consistency", ALL, ""),
    route("GET", "/v1/book", ALL, ""),
    route("GET", "/v1/programmes", &[Payer, Auditor, Operator], OWN_PAYER),
    route("POST", "/v1/programmes", &[Operator], ""),
    hidden(
        route("GET", "/v1/programmes/{code}", &[Payer, Auditor, Operator], OWN_PAYER),
        programmes::unknown,
    ),
    route("POST", "/v1/programmes/{code}/fundings", &[Operator], "asks for an approval"),
    route(
        "POST",
        "/v1/wallets",
        &[Payer, Channel, Operator],
        "a payer: the wallet's id, never what is in it",
    ),
    hidden(route("POST", "/v1/wallets/lookup", &[Channel, Auditor, Operator], ""), wallets::unknown),
    hidden(route("GET", "/v1/wallets/{id}", &[Channel, Auditor, Operator], ""), wallets::unknown),
    hidden(route("GET", "/v1/wallets/{id}/balance", &[Channel, Auditor, Operator], ""), wallets::unknown),
    hidden(route("GET", "/v1/wallets/{id}/statement", &[Channel, Auditor, Operator], ""), wallets::unknown),
    hidden(route("POST", "/v1/wallets/{id}/state", &[Operator], ""), wallets::unknown),
    hidden(route("POST", "/v1/wallets/{id}/choices", CHANNELS, OWN_AUTHORISATIONS), wallets::unknown),
    hidden(route("GET", "/v1/wallets/{id}/choices", &[Channel, Auditor, Operator], ""), wallets::unknown),
    hidden(route("POST", "/v1/wallets/{id}/numbers", &[Operator], "asks for an approval"), wallets::unknown),
    hidden(route("POST", "/v1/wallets/{id}/merge", &[Operator], "asks for an approval"), wallets::unknown),
    route("POST", "/v1/authorisations", CHANNELS, ""),
    hidden(route("GET", "/v1/authorisations/{entry}", PARTIES, OWN_PAYMENTS), authorisations::unknown),
    hidden(
        route("POST", "/v1/authorisations/{entry}/revoke", &[Channel, Operator], OWN_AUTHORISATIONS),
        authorisations::unknown,
    ),
    route("POST", "/v1/transfers", &[Channel, Bank], OWN_PAYMENTS),
    route("GET", "/v1/transfers", BANKS, "its own"),
    route("POST", "/v1/transfers/answers", BANKS, "its own"),
    hidden(route("GET", "/v1/transfers/{entry}", PARTIES, OWN_PAYMENTS), transfers::unknown),
    hidden(
        route(
            "POST",
            "/v1/transfers/{entry}/answers",
            &[Bank, Operator],
            "a bank: its own; an operator: while money is held, with a document",
        ),
        transfers::unknown,
    ),
    route("POST", "/v1/cash", CHANNELS, OWN_AUTHORISATIONS),
    route("POST", "/v1/cash/redeem", BANKS, ""),
    route(
        "POST",
        "/v1/cash/outcomes",
        &[Bank, Operator],
        "a bank: its agents'; an operator: with a document",
    ),
    route("POST", "/v1/cash/cancel", CHANNELS, OWN_AUTHORISATIONS),
    hidden(route("GET", "/v1/cash/{entry}", PARTIES, OWN_PAYMENTS), cash::unknown),
    route("POST", "/v1/settlements", &[Operator], ""),
    hidden(
        route("GET", "/v1/banks/{bic}/statement", &[Bank, Auditor, Operator], "a bank: its own"),
        statements::unknown,
    ),
    hidden(route("POST", "/v1/banks/{bic}/statement/compare", BANKS, "its own"), statements::unknown),
    route("GET", "/v1/events", &[Channel, Bank], "its own"),
    route("GET", "/v1/limits", ALL, ""),
    route("POST", "/v1/orders", &[Authority], "in its own name: the issuer is the client's"),
    route("POST", "/v1/orders/file", &[Authority], "in its own name: the issuer is the client's"),
    route("GET", "/v1/orders", &[Authority], OWN_ORDERS),
    hidden(route("GET", "/v1/orders/{entry}", &[Authority, Auditor, Operator], OWN_ORDERS), orders::unknown),
    hidden(
        route("GET", "/v1/orders/{entry}/document", &[Authority, Auditor, Operator], OWN_ORDERS),
        orders::unknown,
    ),
    route("GET", "/v1/rules", ALL, ""),
    route("POST", "/v1/accruals", PAYERS, OWN_PAYER),
    route("POST", "/v1/reversals", PAYERS, OWN_PAYER),
    route("GET", "/v1/entries/{entry}", ALL, OWN_ENTRIES),
    route("GET", "/v1/entries/{entry}/receipt", ALL, OWN_ENTRIES),
    hidden(route("GET", "/v1/entries/{entry}/evidence", &[Auditor], ""), evidence::unknown),
    route("GET", "/v1/receipt", ALL, "its own requests"),
    route("PUT", "/v1/batches/{id}", PAYERS, OWN_BATCHES),
    hidden(route("GET", "/v1/batches/{id}", &[Payer, Auditor, Operator], OWN_BATCHES), batches::unknown),
    hidden(route("POST", "/v1/batches/{id}/release", PAYERS, OWN_BATCHES), batches::unknown),
    hidden(route("POST", "/v1/batches/{id}/close", PAYERS, OWN_BATCHES), batches::unknown),
    hidden(route("POST", "/v1/batches/{id}/cancel", PAYERS, OWN_BATCHES), batches::unknown),
    hidden(route("PUT", "/v1/batches/{id}/chunks/{first_line}", PAYERS, OWN_BATCHES), batches::unknown),
    hidden(
        route("GET", "/v1/batches/{id}/verdicts", &[Payer, Auditor, Operator], OWN_BATCHES),
        batches::unknown,
    ),
    route("GET", "/v1/clients", &[Auditor, Operator], ""),
    route("POST", "/v1/clients", &[Operator], TWO_CLIENT),
    route("GET", "/v1/clients/{id}", ALL, OWN_CLIENT),
    route("POST", "/v1/clients/{id}/keys", ALL, OWN_KEYS),
    route("POST", "/v1/clients/{id}/keys/{key}/revoke", ALL, OWN_REVOKED),
    route("POST", "/v1/clients/{id}/suspend", &[Operator], "not itself"),
    route("POST", "/v1/clients/{id}/reinstate", &[Operator], ""),
    route("GET", "/v1/approvals", &[Auditor, Operator], ""),
    route("POST", "/v1/approvals", &[Operator], ""),
    route("GET", "/v1/approvals/{entry}", &[Auditor, Operator], ""),
    route("POST", "/v1/approvals/{entry}/approve", &[Operator], "not its own request"),
    route("POST", "/v1/approvals/{entry}/close", &[Operator], ""),
    route("GET", "/v1/reports/trial-balance", &[Auditor, Operator], ""),
    route("GET", "/v1/reports/orders", &[Auditor, Operator], ""),
    route("GET", "/v1/reports/programmes", &[Payer, Auditor, Operator], OWN_PAYER),
];

/// The row of an operation.
///
/// # Panics
/// If there is none: an operation without a row is not served at all. A test finds it before.
#[must_use]
pub fn of(operation: &Operation) -> &'static Route {
    let same =
        |route: &&Route| route.method.eq_ignore_ascii_case(operation.method) && route.path == operation.path;
    ROUTES.iter().find(same).unwrap_or_else(|| panic!("nobody is named who may {}", operation.id))
}

/// The matrix as `specs/access.md` has it.
#[must_use]
pub fn document() -> String {
    use std::fmt::Write as _;
    let mut text = String::from(
        "# Who may do what\n\n\
         Written from the table in `src/http/access.rs`; a test holds this file to it, and tries every\n\
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::openapi::operations::OPERATIONS;

    #[test]
    fn every_operation_has_one_row_and_every_row_is_an_operation() {
        for operation in OPERATIONS {
            let _row = of(operation);
        }
        assert_eq!(OPERATIONS.len(), ROUTES.len());
    }
}
