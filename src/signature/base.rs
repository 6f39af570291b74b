//! The signature base: the bytes that are signed (RFC 9421, section 2.5).

use http::header::{CONTENT_TYPE, HeaderName};

use super::{CONTENT_DIGEST, Head, IDEMPOTENCY_KEY, SignatureError};

/// What a signature can cover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Component {
    /// `@method`
    Method,
    /// `@target-uri`
    TargetUri,
    /// `content-digest`
    ContentDigest,
    /// `content-type`
    ContentType,
    /// `idempotency-key`
    IdempotencyKey,
}

impl Component {
    /// Those that are always covered.
    pub const ALWAYS: [Self; 2] = [Self::Method, Self::TargetUri];

    /// The component of this identifier.
    pub fn parse(text: &str) -> Option<Self> {
        let all =
            [Self::Method, Self::TargetUri, Self::ContentDigest, Self::ContentType, Self::IdempotencyKey];
        all.into_iter().find(|component| component.name() == text)
    }

    /// Its identifier.
    pub fn name(self) -> &'static str {
        match self {
            Self::Method => "@method",
            Self::TargetUri => "@target-uri",
            Self::ContentDigest => "content-digest",
            Self::ContentType => "content-type",
            Self::IdempotencyKey => "idempotency-key",
        }
    }

    /// The field whose value it is.
    fn field(self) -> Option<HeaderName> {
        match self {
            Self::Method | Self::TargetUri => None,
            Self::ContentDigest => Some(CONTENT_DIGEST),
            Self::ContentType => Some(CONTENT_TYPE),
            Self::IdempotencyKey => Some(IDEMPOTENCY_KEY),
        }
    }

    /// What a signature of this request must cover, no more and no less.
    pub fn required(head: &Head<'_>) -> Vec<Self> {
        let fields = [Self::ContentDigest, Self::ContentType, Self::IdempotencyKey];
        let carried = |it: &Self| it.field().is_some_and(|field| head.headers.contains_key(field));
        Self::ALWAYS.into_iter().chain(fields.into_iter().filter(carried)).collect()
    }

    /// Its value in a request.
    fn value<'a>(self, head: &Head<'a>) -> Result<&'a str, SignatureError> {
        match (self, self.field()) {
            (Self::Method, _) => Ok(head.method),
            (_, None) => Ok(head.target_uri),
            (_, Some(field)) => single(head, &field, self.name())?.ok_or(SignatureError::ComponentUnknown),
        }
    }
}

/// The value of a field that may be there once, in visible ASCII.
pub fn single<'a>(
    head: &Head<'a>,
    field: &HeaderName,
    name: &'static str,
) -> Result<Option<&'a str>, SignatureError> {
    let mut values = head.headers.get_all(field).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(SignatureError::FieldRepeated(name));
    }
    value.to_str().map(|text| Some(text.trim())).map_err(|_| SignatureError::Malformed(name))
}

/// The base of a request: a line for each component, and one for the parameters.
pub fn of_request(
    head: &Head<'_>,
    components: &[Component],
    parameters: &str,
) -> Result<String, SignatureError> {
    let lines = components.iter().map(|component| Ok((component.name(), component.value(head)?)));
    Ok(of_lines(&lines.collect::<Result<Vec<_>, SignatureError>>()?, parameters))
}

/// The base of components and their values. `parameters` is the list of the components with its parameters, canonical.
pub fn of_lines(lines: &[(&str, &str)], parameters: &str) -> String {
    let mut base = String::with_capacity(512);
    for (name, value) in lines {
        for part in ["\"", name, "\": ", value, "\n"] {
            base.push_str(part);
        }
    }
    base.push_str("\"@signature-params\": ");
    base.push_str(parameters);
    base
}
