//! The settings of the function: environment variables, which are read once at the start. All mistakes are reported
//! together. One table is the source of names, defaults, ranges and meanings, and tests compare `docs/settings.md` and
//! `template.yaml` with it.

mod kind;

use crate::avro::{JsonEncoding, WireFormat};
use kind::{
    AccountId, AnyText, Count, Default, Directory, Flag, ListOf, Milliseconds, OneOf, Optional, Region, Required,
    Seconds, Source, TableName, Url, Whole,
};
use std::fmt;
use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

/// Maximum value of the settings for concurrent write calls. It is far more than one function instance needs for a table.
const MAX_CALLS: NonZeroUsize = NonZeroUsize::new(1_000).unwrap();

/// The description of one setting, for the documentation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Name of the environment variable.
    pub name: &'static str,
    /// Value if the variable is unset or empty: a text, `none`, or `required`.
    pub default: &'static str,
    /// The accepted values.
    pub range: String,
    /// The accepted names, if they are a closed set.
    pub choices: Vec<&'static str>,
    /// The effect of the setting.
    pub meaning: &'static str,
    /// The effect of a low value, if the setting is a number.
    pub low: &'static str,
    /// The effect of a high value, if the setting is a number.
    pub high: &'static str,
}

/// Declares in one table how each setting is parsed and described.
macro_rules! settings {
    ($($name:literal => $field:ident: $type:ty = $source:expr, $meaning:literal $(, low $low:literal, high $high:literal)?;)+) => {
        /// The values of all settings.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Settings { $(#[doc = $meaning] pub $field: $type,)+ }

        impl Settings {
            /// Returns the descriptions of all settings, in the order of the documentation.
            pub fn all() -> Vec<Setting> {
                vec![$({
                    let source = $source;
                    let (low, high) = (concat!($($low)?), concat!($($high)?));
                    let (default, range, choices) = (source.default(), source.range(), source.choices());
                    Setting { name: $name, default, range, choices, meaning: $meaning, low, high }
                },)+]
            }

            /// Checks the `value` of the setting `name`. An empty value counts as unset, and is always accepted.
            ///
            /// # Errors
            /// Returns a description of the accepted values, as the end of a sentence that starts with the name.
            pub fn check(name: &str, value: &str) -> Result<(), String> {
                let value = text(&|_| Some(value.to_owned()), name);
                match name {
                    // a required setting may be set elsewhere
                    _ if value.is_none() => Ok(()),
                    $($name => ($source).value(value).map(drop),)+
                    _ => Err("is no setting".to_owned()),
                }
            }

            fn read(lookup: &impl Fn(&str) -> Option<String>, problems: &mut Vec<String>) -> Option<Self> {
                $(
                    let $field = ($source).value(text(lookup, $name));
                    let $field = $field.map_err(|problem| problems.push(format!("{} {problem}", $name))).ok();
                )+
                Some(Self { $($field: $field?,)+ })
            }
        }
    };
}

settings! {
    "TABLE_NAME" => table_name: String = Required(TableName),
        "Table of the records whose schema names none.";
    "SCHEMA_DIR" => schema_dir: PathBuf = Default("/opt/schemas", Directory),
        "Where the schema files are, a folder a subject and a file a version.";
    "WIRE_FORMATS" => wire_formats: Option<Vec<WireFormat>> = Optional(ListOf(PhantomData)),
        "Framings that are looked for, in this order. Unset, they are `single-object` and `container`, and also `confluent` and `glue` where a schema's `schemaIds` have an id for them.";
    "DEFAULT_SCHEMA" => default_schema: Option<String> = Optional(AnyText),
        "`subject` or `subject/version` of `datum` and `json` bodies without a `schema` attribute.";
    "JSON_ENCODING" => json_encoding: JsonEncoding = Default("plain", OneOf(PhantomData)),
        "JSON of `json` bodies: `plain`, with bytes in base64 and unions without tags, or `avro`, Avro's own JSON encoding ([json.md](json.md)).";
    "TARGET_LATENCY_MS" => target_latency: Duration = Default("50", Milliseconds(1, 60_000)),
        "P95 of one write call, in milliseconds, that the limiter steers to.",
        low "fewer calls at once, fewer throttles", high "more throughput";
    "MIN_IN_FLIGHT" => min_in_flight: NonZeroUsize = Default("1", Count(MAX_CALLS)),
        "Write calls at once at least, however slow they are.",
        low "a throttled table can recover", high "keeps sending to a throttled table";
    "MAX_IN_FLIGHT" => max_in_flight: NonZeroUsize = Default("50", Count(MAX_CALLS)),
        "Write calls at once at most, and the connections that are kept.",
        low "slow on large batches", high "more memory and sockets";
    "DEADLINE_MARGIN_MS" => deadline_margin: Duration = Default("500", Milliseconds(0, 60_000)),
        "Milliseconds kept back from the Lambda deadline to answer with what is unfinished.",
        low "a late answer loses the invocation", high "less is written";
    "QUARANTINE_QUEUE_URL" => quarantine_queue_url: Option<String> = Optional(Url { with_path: true }),
        "Queue that rejected messages go to, with their reason. Without one they are retried until they are dead-lettered.";
    "RETURN_BACKOFF_SECONDS" => return_backoff: Duration = Default("1", Seconds(0, 900)),
        "Seconds after which a message that is returned for the first time comes back, doubled with each receive up to 15 minutes. `0` leaves it to the queue's visibility timeout.",
        low "a short outage uses up the queue's maxReceiveCount", high "what a throttle returned comes late";
    "METRICS_NAMESPACE" => metrics_namespace: String = Default("AvroIngest", AnyText),
        "CloudWatch namespace of the metrics.";
    "SERVICE_NAME" => service_name: Option<String> = Optional(AnyText),
        "Dimension `Service` of the metrics. Without it, the function's name.";
    "MAX_DEPTH" => max_depth: usize = Default("64", Whole(1, 256)),
        "How deep a datum may be nested. DynamoDB itself takes 32 levels of lists and maps.",
        low "legitimate messages are rejected", high "more stack for a hostile one";
    "MAX_RECORDS" => max_records: usize = Default("10000", Whole(1, 1_000_000)),
        "Records that one message may hold.",
        low "legitimate messages are rejected", high "more memory and time for one message";
    "MAX_INFLATED_BYTES" => max_inflated_bytes: usize = Default("16777216", Whole(1_024, 1 << 30)),
        "Bytes that one message may inflate to.",
        low "legitimate messages are rejected", high "more memory for one message";
    "AWS_REGION" => region: Option<String> = Optional(Region),
        "Region of the table and the queues. Lambda sets it.";
    "ACCOUNT_ID" => account_id: Option<String> = Optional(AccountId),
        "Account of the function, which the template sets. It says whether a table's name and an ARN mean one table. Schemas that name a table both ways need it.";
    "AWS_ENDPOINT_URL" => endpoint: Option<String> = Optional(Url { with_path: false }),
        "Where all of AWS is, for tests. Without it, AWS's own endpoints.";
    "AWS_ENDPOINT_URL_DYNAMODB" => dynamodb_endpoint: Option<String> = Optional(Url { with_path: false }),
        "Where DynamoDB is, for tests. Goes before `AWS_ENDPOINT_URL`.";
    "AWS_ENDPOINT_URL_SQS" => sqs_endpoint: Option<String> = Optional(Url { with_path: false }),
        "Where SQS is, for tests. Goes before `AWS_ENDPOINT_URL`.";
    "AWS_USE_FIPS_ENDPOINT" => use_fips: bool = Default("false", Flag),
        "Whether AWS's FIPS endpoints are called.";
    "AWS_USE_DUALSTACK_ENDPOINT" => use_dual_stack: bool = Default("false", Flag),
        "Whether AWS's dual-stack endpoints, which IPv6 reaches, are called.";
}

/// The invalid settings, with one sentence each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsError(Vec<String>);

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid settings: {}", self.0.join("; "))
    }
}

impl std::error::Error for SettingsError {}

impl Settings {
    /// Parses all settings. `lookup` returns the value of a variable. An empty value counts as unset, because a template
    /// cannot omit a variable.
    ///
    /// # Errors
    /// Returns all settings that are missing or invalid.
    pub fn parse(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let mut problems = Vec::new();
        let settings = Self::read(&lookup, &mut problems);
        if let Some(settings) = &settings
            && settings.min_in_flight > settings.max_in_flight
        {
            problems.push("MIN_IN_FLIGHT is over MAX_IN_FLIGHT".into());
        }
        settings.filter(|_| problems.is_empty()).ok_or(SettingsError(problems))
    }
}

fn text(lookup: &impl Fn(&str) -> Option<String>, name: &str) -> Option<String> {
    lookup(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(settings: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        Settings::parse(|name| settings.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn only_the_table_is_required() {
        let settings = parse(&[("TABLE_NAME", "orders")]).unwrap();
        assert_eq!(settings.table_name, "orders");
        assert_eq!(settings.schema_dir, PathBuf::from("/opt/schemas"));
        assert_eq!(settings.wire_formats, None);
        assert_eq!((settings.min_in_flight.get(), settings.max_in_flight.get()), (1, 50));
        assert_eq!((settings.target_latency.as_millis(), settings.deadline_margin.as_millis()), (50, 500));
        assert_eq!(settings.metrics_namespace, "AvroIngest");
    }

    #[test]
    fn the_limits_are_the_decoders_own_unless_they_are_set() {
        let limits = crate::avro::Limits::default();
        let settings = parse(&[("TABLE_NAME", "orders")]).unwrap();
        assert_eq!(
            (settings.max_depth, settings.max_records, settings.max_inflated_bytes),
            (limits.max_depth, limits.max_records, limits.max_inflated_bytes)
        );
    }

    #[test]
    fn an_empty_variable_counts_as_none() {
        let bare = parse(&[("TABLE_NAME", "orders")]);
        let names: Vec<_> = Settings::all().iter().map(|setting| setting.name).collect();
        for empty in ["", " "] {
            let empty: Vec<_> =
                names.iter().map(|name| (*name, if *name == "TABLE_NAME" { "orders" } else { empty })).collect();
            assert_eq!(parse(&empty), bare);
        }
    }

    #[test]
    fn every_mistake_is_reported_at_once() {
        let error = parse(&[
            ("WIRE_FORMATS", "datum, xml,datum"),
            ("TARGET_LATENCY_MS", "0"),
            ("DEADLINE_MARGIN_MS", "-1"),
            ("MAX_DEPTH", "deep"),
            ("QUARANTINE_QUEUE_URL", "localhost:1"),
            ("AWS_ENDPOINT_URL_DYNAMODB", "127.0.0.1:8000"),
            ("AWS_REGION", "eu central"),
            ("ACCOUNT_ID", "12345678901"),
            ("AWS_USE_FIPS_ENDPOINT", "yes"),
            ("JSON_ENCODING", "base64"),
        ])
        .unwrap_err()
        .to_string();
        for part in [
            "TABLE_NAME is required",
            "\"xml\"",
            "datum twice",
            "TARGET_LATENCY_MS is \"0\"",
            "DEADLINE_MARGIN_MS",
            "MAX_DEPTH",
            "QUARANTINE_QUEUE_URL must be",
            "AWS_ENDPOINT_URL_DYNAMODB must be",
            "AWS_REGION",
            "ACCOUNT_ID is \"12345678901\", but must be an account id of 12 digits",
            "AWS_USE_FIPS_ENDPOINT",
            "JSON_ENCODING is \"base64\", but must be one of plain, avro",
        ] {
            assert!(error.contains(part), "{part} in {error}");
        }
        let error = parse(&[("TABLE_NAME", "orders"), ("MIN_IN_FLIGHT", "51")]).unwrap_err();
        assert_eq!(error.to_string(), "invalid settings: MIN_IN_FLIGHT is over MAX_IN_FLIGHT");
    }

    #[test]
    fn bounds_are_inclusive() {
        for (value, fits) in [("0", false), ("1", true), ("1000", true), ("1001", false)] {
            let result = parse(&[("TABLE_NAME", "orders"), ("MIN_IN_FLIGHT", "1"), ("MAX_IN_FLIGHT", value)]);
            assert_eq!(result.is_ok(), fits, "{value}");
        }
    }

    #[test]
    fn a_table_is_one_that_aws_takes() {
        let long = "t".repeat(255);
        for (table, fits) in
            [("ab", false), ("abc", true), (&long, true), (&format!("{long}t"), false), ("my table", false)]
        {
            assert_eq!(parse(&[("TABLE_NAME", table)]).is_ok(), fits, "{table}");
        }
        assert!(parse(&[("TABLE_NAME", "arn:aws:dynamodb:eu-central-1:123456789012:table/orders")]).is_ok());
    }
}
