//! Evaluates resource-based policies. Pure.

use super::facts::text;
use serde_json::Value;

/// Returns whether `policy` allows one of `actions` to `role`, or to `account`, which can then delegate them by identity
/// policies.
/// <https://docs.aws.amazon.com/kms/latest/developerguide/key-policies.html>
pub(super) fn allows_account(policy: &Value, actions: &[&str], account: &str, role: &str) -> bool {
    // the partition that precedes it differs in China
    let root = format!(":iam::{account}:root");
    allows(policy, actions, |name| ["*", account, role].contains(&name) || name.ends_with(&root))
}

/// Returns whether `policy` alone allows one of `actions` to `role`, without the role's own policies.
pub(super) fn allows_role(policy: &Value, actions: &[&str], role: &str) -> bool {
    allows(policy, actions, |name| name == role)
}

fn allows(policy: &Value, actions: &[&str], is_principal: impl Fn(&str) -> bool) -> bool {
    let statements = match policy.get("Statement") {
        Some(Value::Array(statements)) => statements.iter().collect(),
        Some(statement) => vec![statement],
        None => Vec::new(),
    };
    statements.into_iter().filter(|statement| text(statement, "Effect") == "Allow").any(|statement| {
        let principal = statement.get("Principal");
        let named = texts(principal.and_then(|principal| principal.get("AWS")).or(principal));
        let is_allowed =
            texts(statement.get("Action")).iter().any(|action| actions.iter().any(|wanted| covers(action, wanted)));
        is_allowed && named.into_iter().any(&is_principal)
    })
}

/// Returns whether a policy's action, such as `sqs:*`, covers `wanted`.
fn covers(action: &str, wanted: &str) -> bool {
    let service = wanted.split(':').next().unwrap_or_default();
    action == "*" || action.eq_ignore_ascii_case(wanted) || action.eq_ignore_ascii_case(&format!("{service}:*"))
}

fn texts(value: Option<&Value>) -> Vec<&str> {
    match value {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn policy(effect: &str, principal: &Value, action: &str) -> Value {
        json!({"Statement": [{"Effect": effect, "Principal": principal, "Action": [action], "Resource": "*"}]})
    }

    #[test]
    fn an_action_is_allowed_by_its_name_its_service_or_a_star() {
        let allowed =
            |effect, action| allows_account(&policy(effect, &json!("*"), action), &["kms:Decrypt"], "1", "role");
        assert!(allowed("Allow", "kms:decrypt") && allowed("Allow", "kms:*") && allowed("Allow", "*"));
        assert!(!allowed("Allow", "kms:Encrypt") && !allowed("Deny", "kms:Decrypt") && !allowed("Allow", "sqs:*"));
    }

    #[test]
    fn a_role_alone_needs_to_be_named() {
        let role = "arn:aws:iam::1:role/function";
        let named =
            |name: &str| allows_role(&policy("Allow", &json!({"AWS": name}), "sqs:*"), &["sqs:SendMessage"], role);
        assert!(named(role));
        assert!(!named("arn:aws:iam::1:root") && !named("arn:aws:iam::1:role/other"));
    }
}
