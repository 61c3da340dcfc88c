//! Tests `ingest plan` through its command line.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use serde_json::Value;
use std::fs;
use std::process::{Command, Output};

const MEASURED: &str = "../benches/results.json";

fn plan(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ingest"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .arg("plan")
        .args(arguments)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn without_a_measurement_it_says_what_it_needs_and_ends_with_2() {
    let output = plan(&["--rate", "100", "--record-bytes", "300"]);
    assert_eq!(output.status.code(), Some(2));
    let error = text(&output.stderr);
    assert!(error.contains("make bench") && error.contains("--service-time"), "{error}");
}

#[test]
fn a_load_that_can_be_had_ends_with_0_and_the_line_for_sam() {
    let output = plan(&["--rate", "2000", "--record-bytes", "300", "--measured", MEASURED]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let last = text(&output.stdout).trim_end().lines().last().unwrap().to_owned();
    assert!(last.starts_with("sam deploy --parameter-overrides MaxInstances="), "{last}");
}

#[test]
fn a_load_that_cannot_be_had_ends_with_1_and_says_what_has_to_change() {
    let load = ["--rate", "500000", "--record-bytes", "300", "--set", "BatchSize=10", "--measured", MEASURED, "--json"];
    let output = plan(&load);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(plan["holds"], false);
    let missed = plan["checks"].as_array().unwrap().iter().find(|check| check["met"] == false).unwrap();
    assert!(missed["change"].as_str().unwrap().contains("pack"), "{missed}");
    assert!(!plan["quotas"].as_array().unwrap().is_empty());
}

#[test]
fn a_parameter_that_the_template_refuses_is_named() {
    let load = ["--rate", "100", "--record-bytes", "300", "--service-time", "10", "--set", "BatchSize=20000"];
    let output = plan(&load);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("BatchSize=20000"));
}

#[test]
fn the_page_has_the_charts_and_needs_nothing_from_outside() {
    let folder = std::env::temp_dir().join(format!("ingest-plan-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let (page, plots) = (folder.join("plan.html"), folder.join("plots"));
    let load = ["--rate", "500", "--peak", "1000", "--record-bytes", "300", "--measured", MEASURED];
    let files = ["--html", page.to_str().unwrap(), "--plots", plots.to_str().unwrap()];
    let output = plan(&[&load[..], &files[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let page = fs::read_to_string(page).unwrap();
    let plots: Vec<String> =
        fs::read_dir(&plots).unwrap().map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap()).collect();
    assert_eq!(page.matches("<figure").count(), plots.len());
    assert!(plots.len() >= 8 && plots.iter().all(|plot| plot.starts_with("<svg") && plot.ends_with("</svg>\n")));
    for text in std::iter::once(&page).chain(&plots) {
        let outside = text.replace("http://www.w3.org/2000/svg", "");
        assert!(!outside.contains("http:") && !outside.contains("https:") && !outside.contains("src="));
    }
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn the_page_shows_the_choice_its_price_each_requirement_and_the_alternatives() {
    let folder = std::env::temp_dir().join(format!("ingest-plan-page-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join("plan.html");
    let of = |arguments: &[&str]| {
        let output = plan(&[arguments, &["--html", path.to_str().unwrap(), "--json"]].concat());
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        (json, fs::read_to_string(&path).unwrap())
    };
    let (json, page) = of(&["--rate", "500", "--peak", "1000", "--record-bytes", "300", "--measured", MEASURED]);
    assert!(page.contains(json["command"].as_str().unwrap()), "the command");
    let total = json["at_rate"]["dollars_per_million_records"]["total"].as_f64().unwrap();
    assert!(page.contains(&format!("for ${total:.3} a million records.")), "the price in the sentence");
    for service in ["DynamoDB", "SQS", "Lambda", "logs", "metrics"] {
        assert!(page.contains(&format!("{service} <span>$")), "{service} in the price");
    }
    assert_eq!(page.matches("<li class=\"check\">").count(), json["checks"].as_array().unwrap().len());
    assert!(page.contains("Price against latency") && page.contains(">chosen</li>"), "the alternatives");
    // if all parameters are given, there is nothing to compare
    let profile = ["--profile", "latency", "--config", "../samconfig.toml", "--measured", MEASURED];
    let (_, given) = of(&profile);
    assert!(!given.contains("Price against latency") && given.contains("no other was considered"));
    // a limit that is exceeded appears at the top of the page
    let impossible = ["--rate", "500000", "--record-bytes", "300", "--set", "BatchSize=10", "--measured", MEASURED];
    let (json, page) = of(&impossible);
    let missed = json["checks"].as_array().unwrap().iter().find(|check| check["met"] == false).unwrap();
    let place = |text: &str| page.find(text).unwrap_or_else(|| panic!("no {text}"));
    assert!(place("verdict missed") < place(missed["name"].as_str().unwrap()));
    assert!(place(missed["name"].as_str().unwrap()) < place("<ul class=\"tiles\">"));
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_reader_that_has_enough_ends_the_command_without_a_word() {
    let (reader, writer) = std::io::pipe().unwrap();
    // close the pipe before the command starts, because the command may end first otherwise
    drop(reader);
    let output = Command::new(env!("CARGO_BIN_EXE_ingest"))
        .args(["plan", "--rate", "100", "--record-bytes", "300", "--service-time", "5"])
        .stdout(writer)
        .output()
        .unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(141), &b""[..]), "{output:?}");
}

#[test]
fn an_item_that_dynamodb_does_not_take_cannot_be_had_and_an_absurd_rate_is_a_mistake() {
    let of = |rate: &str, bytes: &str| {
        let output = plan(&["--rate", rate, "--record-bytes", bytes, "--service-time", "5"]);
        (output.status.code(), text(&output.stdout))
    };
    let (code, text) = of("10", "409601");
    assert!(code == Some(1) && text.contains("cannot be had: item size"), "{text}");
    assert!(!of("10", "409600").1.contains("cannot be had: item size"));
    assert_eq!(of("100000001", "300").0, Some(2));
}

/// Options of a plan for one record per second and an invocation of 5 ms.
const SMALL: [&str; 6] = ["--rate", "1", "--record-bytes", "300", "--service-time", "5"];

#[test]
fn a_load_of_almost_nothing_costs_what_runs_all_day_and_one_that_is_smaller_is_refused() {
    let of = |rate: &str| plan(&["--rate", rate, "--record-bytes", "300", "--service-time", "5", "--json"]);
    let plan: Value = serde_json::from_slice(&of("0.001").stdout).unwrap();
    let cost = |name: &str| plan["at_rate"]["dollars_per_million_records"][name].as_f64().unwrap();
    // metrics cost a few dollars per month, divided by only 2,592 records
    assert!(cost("total") > 1_000.0 && cost("total") < 100_000.0, "{}", plan["at_rate"]);
    // each record costs one write unit, however few records there are
    assert!((cost("dynamodb") - 0.625).abs() < 0.2, "{}", plan["at_rate"]);
    let refused = of("0.0000001");
    assert!(refused.status.code() == Some(2) && text(&refused.stderr).contains("too small"), "{refused:?}");
}

#[test]
fn a_name_that_does_not_exist_and_values_that_contradict_each_other_are_refused() {
    for (arguments, named) in [
        (&["--set", "Nope=1"][..], "Nope"),
        (&["--set", "BatchSize=5", "--set", "BatchSize=6"], "BatchSize is given twice"),
        (&["--set", "ScalingMode=standard", "--set", "MinimumPollers=5"], "MinimumPollers"),
        (&["--set", "ScalingMode=sideways"], "ScalingMode=sideways"),
        (&["--set", "BatchSize=0"], "BatchSize=0 is not between 1 and 10000"),
        (&["--set", "MemoryMegabytes=0"], "MemoryMegabytes=0"),
        (&["--set", "MaxInstances=0"], "MaxInstances=0"),
        (&["--set", "MinimumPollers=50", "--set", "MaximumPollers=5"], "MinimumPollers=50"),
        (&["--set", "MinInstances=20", "--set", "MaxInstances=10"], "MinInstances=20"),
        (&["--set", "BatchSize=20", "--set", "BatchingWindowSeconds=0"], "BatchingWindowSeconds"),
        (&["--set", "Architecture=arm"], "Architecture=arm"),
        (&["--peak", "0.5"], "--peak"),
        (&["--p95", "200", "--set", "EndToEndTargetMs=300"], "--p95"),
    ] {
        let output = plan(&[&SMALL[..], arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        assert!(text(&output.stderr).contains(named), "{arguments:?}: {}", text(&output.stderr));
    }
}

#[test]
fn a_parameter_that_is_set_leaves_the_others_to_be_chosen() {
    for set in [
        "MinimumPollers=5",
        "MaximumPollers=300",
        "MinInstances=20",
        "MaxInstances=500",
        "BatchingWindowSeconds=0",
        "MaxWriteUnits=9000",
    ] {
        let output = plan(&[&SMALL[..], &["--set", set, "--json"]].concat());
        assert!(output.status.code() != Some(2), "{set}: {output:?}");
        let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(plan["command"].as_str().unwrap().contains(set) || set.ends_with("=0"), "{set}: {}", plan["command"]);
    }
}

#[test]
fn what_is_set_goes_before_the_profile() {
    let set = [
        "--profile",
        "peak",
        "--config",
        "../samconfig.toml",
        "--service-time",
        "5",
        "--json",
        "--rate",
        "10",
        "--peak",
        "10",
    ];
    let plan = |more: &[&str]| -> Value { serde_json::from_slice(&plan(&[&set[..], more].concat()).stdout).unwrap() };
    assert_eq!(plan(&[])["deployment"]["batch_size"], 10);
    assert_eq!(plan(&["--set", "BatchSize=7"])["deployment"]["batch_size"], 7);
    let standard = plan(&["--set", "ScalingMode=standard", "--set", "MaxInstances=150"]);
    assert_eq!(standard["parameters"]["MaxInstances"], "150");
}

#[test]
fn one_figure_says_how_many_invocations_are_under_way() {
    let output = plan(&SMALL);
    let shown = text(&output.stdout);
    assert_eq!(shown.matches("under way").count(), 1, "{shown}");
    let json: Value = serde_json::from_slice(&plan(&[&SMALL[..], &["--json"]].concat()).stdout).unwrap();
    assert!(json["closed_form"].is_null() && json["at_rate"]["concurrent_invocations"].is_number(), "{json}");
}

/// Returns a value that the constraint `name: allowed` of a template parameter excludes, and a text that the error must
/// contain.
fn outside(name: &str, allowed: &str) -> Option<(String, String)> {
    match name {
        "MinValue" => Some(((allowed.parse::<i64>().unwrap() - 1).to_string(), allowed.to_owned())),
        "MaxValue" => Some(((allowed.parse::<i64>().unwrap() + 1).to_string(), allowed.to_owned())),
        "AllowedValues" => {
            let last = allowed.trim_end_matches(']').rsplit([',', '[']).next().unwrap();
            Some(("none-of-them".to_owned(), last.trim().trim_matches('\'').to_owned()))
        }
        // longer than any pattern allows, with characters that few patterns allow
        "AllowedPattern" => Some(("?".repeat(300), String::new())),
        "Type" if allowed == "Number" => Some(("many".to_owned(), "is not".to_owned())),
        _ => None,
    }
}

#[test]
fn every_constraint_of_every_parameter_of_the_template_is_held() {
    let template = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../template.yaml")).unwrap();
    let (_, section) = template.split_once("\nParameters:\n").unwrap();
    let (section, _) = section.split_once("\nRules:\n").unwrap();
    let (mut parameter, mut tried) = ("", 0);
    for line in section.lines().filter_map(|line| line.strip_prefix("  ")) {
        match line.trim().split_once(": ") {
            None if line.ends_with(':') => parameter = line.trim_end_matches(':'),
            Some((constraint, allowed)) if line.starts_with("  ") => {
                let Some((value, named)) = outside(constraint, allowed) else { continue };
                let output = plan(&[&SMALL[..], &["--set", &format!("{parameter}={value}")]].concat());
                let error = text(&output.stderr);
                assert_eq!(output.status.code(), Some(2), "{parameter}={value}: {output:?}");
                assert!(error.contains(parameter) && error.contains(&named), "{parameter}={value}: {error}");
                tried += 1;
            }
            _ => {}
        }
    }
    assert!(tried > 70, "{tried}");
}

#[test]
fn a_rule_of_the_template_and_a_setting_that_the_function_refuses_are_held_too() {
    for (set, named) in [
        (&["MinInFlight=60", "MaxInFlight=5"][..], "MinInFlight is over MaxInFlight"),
        (&["MinInFlight=60"], "MinInFlight is over MaxInFlight"),
        (&["MaxInFlight=2.5"], "a whole number"),
        (&["WireFormats=datum,datum"], "names datum twice"),
        (&["QueueType=fifo", "BatchingWindowSeconds=1"], "BatchingWindowSeconds"),
        (&["ExistingTableName=orders", "SortKeyName=at"], "ExistingTableName has its own keys"),
        (&["ExistingTableName=orders", "WarmWriteUnits=5000"], "the capacity of ExistingTableName"),
        (&["SortKeyType=N"], "without SortKeyName there is no sort key"),
        (&["SortKeyName=message_id"], "must be two attributes"),
        (&["ExistingDeadLetterQueueName=dead"], "needs ExistingQueueArn"),
        (&["SubnetIds=subnet-12345678"], "both set or both empty"),
    ] {
        let options: Vec<&str> = set.iter().flat_map(|set| ["--set", set]).collect();
        let output = plan(&[&SMALL[..], &options].concat());
        assert_eq!(output.status.code(), Some(2), "{set:?}: {output:?}");
        assert!(text(&output.stderr).contains(named), "{set:?}: {}", text(&output.stderr));
    }
    for set in [&["MinInFlight=60", "MaxInFlight=60"][..], &["ExistingTableName=orders"], &["BatchSize=100"]] {
        let options: Vec<&str> = set.iter().flat_map(|set| ["--set", set]).collect();
        let output = plan(&[&SMALL[..], &options].concat());
        assert_ne!(output.status.code(), Some(2), "{set:?}: {output:?}");
    }
}

#[test]
fn a_profile_that_the_template_refuses_is_refused_by_plan_and_check() {
    let folder = std::env::temp_dir().join(format!("ingest-plan-profile-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let config = folder.join("samconfig.toml");
    for (overrides, named) in [
        ("MaxInFlight=0", "MaxInFlight=0 is not between 1 and 1000"),
        ("QueueType=foo", "QueueType=foo is not one of standard, fifo"),
        ("MinInFlight=60 MaxInFlight=5", "MinInFlight is over MaxInFlight"),
        ("BatchSize=11", "BatchSize must be 10 or less"),
    ] {
        fs::write(&config, format!("[p.deploy.parameters]\nparameter_overrides = \"{overrides}\"\n")).unwrap();
        let profile = ["--profile", "p", "--config", config.to_str().unwrap()];
        let check = || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_ingest"));
            command.args(["check", "--schemas", "../schemas"]).args(profile).output().unwrap()
        };
        for output in [plan(&[&SMALL[..], &profile].concat()), check()] {
            assert_eq!(output.status.code(), Some(2), "{overrides}: {output:?}");
            assert!(text(&output.stderr).contains(named), "{overrides}: {}", text(&output.stderr));
        }
    }
    fs::remove_dir_all(folder).unwrap();
}
