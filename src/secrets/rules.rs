//! The rules: what a secret of each sort looks like.
//!
//! Most follow the rules of gitleaks (MIT), which many have tried on much text. A rule is tried only
//! where one of its keywords is found, so a keyword has to be in whatever the pattern matches.

/// What one sort of secret looks like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    /// Its name, which takes the place of the secret.
    pub(super) id: &'static str,
    /// Group 1, or else the whole match, is the secret.
    pub(super) pattern: &'static str,
    /// One of these is in everything that matches, in these letters.
    pub(super) keywords: &'static [&'static str],
    /// How many bits a character of the secret tells at least; less is a placeholder, or prose.
    pub(super) entropy: f64,
    /// A character that is in everything that matches, for rules whose keywords are common.
    pub(super) also: Option<u8>,
}

const fn rule(
    id: &'static str,
    keywords: &'static [&'static str],
    pattern: &'static str,
    entropy: f64,
) -> Rule {
    Rule { id, pattern, keywords, entropy, also: None }
}

/// Names that stand before a secret, in the ways in which they are written.
const NAMES: &[&str] = &[
    "api_key",
    "api-key",
    "apikey",
    "apiKey",
    "ApiKey",
    "Api-Key",
    "API_KEY",
    "API-Key",
    "APIKEY",
    "access_token",
    "access-token",
    "accessToken",
    "AccessToken",
    "ACCESS_TOKEN",
    "auth_token",
    "auth-token",
    "authToken",
    "Auth-Token",
    "AUTH_TOKEN",
    "refresh_token",
    "refreshToken",
    "REFRESH_TOKEN",
    "client_secret",
    "client-secret",
    "clientSecret",
    "CLIENT_SECRET",
    "secret_key",
    "secret-key",
    "secretKey",
    "SECRET_KEY",
    "secret_access_key",
    "secretAccessKey",
    "SecretAccessKey",
    "SECRET_ACCESS_KEY",
    "passwd",
    "password",
    "Password",
    "PASSWORD",
];

/// Every rule. The special ones come before the general ones, which would take their secrets.
pub(super) const RULES: &[Rule] = &[
    rule(
        "private-key",
        &["-----BEGIN"],
        r"-----BEGIN (?:[A-Z0-9]{1,20} ){0,4}PRIVATE KEY(?: BLOCK)?-----(?s:.)*?(?:-----END (?:[A-Z0-9]{1,20} ){0,4}PRIVATE KEY(?: BLOCK)?-----|\z)",
        0.0,
    ),
    rule("age-secret-key", &["AGE-SECRET-KEY-1"], r"AGE-SECRET-KEY-1[0-9A-Z]{58}", 0.0),
    rule(
        "jwt",
        &["eyJ"],
        r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}={0,2}",
        3.0,
    ),
    rule(
        "aws-access-key",
        &["AKIA", "ASIA", "ABIA", "ACCA", "A3T"],
        r"\b((?:A3T[A-Z0-9]|AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16})\b",
        3.0,
    ),
    rule("aws-bedrock-key", &["ABSK"], r"\bABSK[A-Za-z0-9+/]{109,269}={0,2}", 3.0),
    rule(
        "github-token",
        &["ghp_", "gho_", "ghu_", "ghs_", "ghr_"],
        r"\bgh[pousr]_[0-9A-Za-z]{36,251}",
        3.0,
    ),
    rule("github-fine-grained-token", &["github_pat_"], r"\bgithub_pat_[0-9A-Za-z_]{82}", 3.0),
    rule(
        "gitlab-token",
        &["glpat-", "glrt-", "gldt-", "glcbt-", "glptt-", "glft-", "glimt-", "glsoat-", "glagent-"],
        r"\bgl(?:pat|rt|dt|cbt|ptt|ft|imt|soat|agent)-[0-9A-Za-z_\-]{20,300}",
        3.0,
    ),
    rule("slack-token", &["xox"], r"\bxox[abeoprs](?:\.xox[bp])?-[0-9A-Za-z\-]{10,250}", 2.5),
    rule(
        "slack-app-token",
        &["xapp-"],
        r"\bxapp-[0-9]-[A-Z0-9]{6,20}-[0-9]{6,20}-[a-f0-9]{20,90}",
        2.5,
    ),
    rule(
        "slack-webhook",
        &["hooks.slack.com/"],
        r"hooks\.slack\.com/((?:services|workflows|triggers)/[A-Za-z0-9+/]{40,60})",
        2.5,
    ),
    rule(
        "stripe-key",
        &["sk_live_", "sk_test_", "rk_live_", "rk_test_", "sk_prod_", "rk_prod_", "whsec_"],
        r"\b(?:(?:sk|rk)_(?:live|test|prod)_[0-9A-Za-z]{10,99}|whsec_[0-9A-Za-z+/]{24,64}={0,2})",
        2.5,
    ),
    rule(
        "anthropic-key",
        &["sk-ant-"],
        r"\bsk-ant-(?:api03|admin01|oat01|sid01)-[0-9A-Za-z_\-]{20,120}",
        3.0,
    ),
    rule(
        "openai-key",
        &["T3BlbkFJ", "sk-proj-", "sk-svcacct-", "sk-admin-"],
        r"\bsk-(?:(?:proj|svcacct|admin)-[0-9A-Za-z_\-]{20,200}|[0-9A-Za-z]{20}T3BlbkFJ[0-9A-Za-z]{20})",
        3.0,
    ),
    rule("openrouter-key", &["sk-or-v1-"], r"\bsk-or-v1-[0-9a-f]{64}", 3.0),
    rule("groq-key", &["gsk_"], r"\bgsk_[0-9A-Za-z]{52}", 3.0),
    rule("xai-key", &["xai-"], r"\bxai-[0-9A-Za-z_]{70,90}", 3.0),
    rule("perplexity-key", &["pplx-"], r"\bpplx-[0-9A-Za-z]{48}", 3.0),
    rule("replicate-token", &["r8_"], r"\br8_[0-9A-Za-z]{37}", 3.0),
    rule("google-api-key", &["AIza"], r"\bAIza[0-9A-Za-z_\-]{35}", 3.0),
    rule("google-oauth-secret", &["GOCSPX-"], r"\bGOCSPX-[0-9A-Za-z_\-]{28}", 3.0),
    rule("google-access-token", &["ya29."], r"\bya29\.[0-9A-Za-z_\-.]{30,1200}", 3.0),
    rule("google-refresh-token", &["1//0"], r"\b1//0[0-9A-Za-z_\-]{40,200}", 3.0),
    rule("npm-token", &["npm_"], r"\bnpm_[0-9A-Za-z]{36}", 3.0),
    rule("pypi-token", &["pypi-AgE"], r"\bpypi-AgE[0-9A-Za-z_\-]{50,1000}", 3.0),
    rule("rubygems-token", &["rubygems_"], r"\brubygems_[0-9a-f]{48}", 2.5),
    rule("docker-token", &["dckr_"], r"\bdckr_(?:pat|oat)_[0-9A-Za-z_\-]{27,64}", 3.0),
    rule(
        "twilio-key",
        &[
            "SK0", "SK1", "SK2", "SK3", "SK4", "SK5", "SK6", "SK7", "SK8", "SK9", "SKa", "SKb",
            "SKc", "SKd", "SKe", "SKf",
        ],
        r"\bSK[0-9a-f]{32}\b",
        3.0,
    ),
    rule("sendgrid-key", &["SG."], r"\bSG\.[0-9A-Za-z_\-]{20,24}\.[0-9A-Za-z_\-]{39,50}", 3.0),
    rule(
        "mailgun-key",
        &[
            "key-0", "key-1", "key-2", "key-3", "key-4", "key-5", "key-6", "key-7", "key-8",
            "key-9", "key-a", "key-b", "key-c", "key-d", "key-e", "key-f",
        ],
        r"\bkey-[0-9a-f]{32}\b",
        3.0,
    ),
    rule(
        "mailchimp-key",
        &["-us1", "-us2", "-us3", "-us4", "-us5", "-us6", "-us7", "-us8", "-us9"],
        r"\b[0-9a-f]{32}-us[0-9]{1,2}\b",
        3.0,
    ),
    rule("azure-storage-key", &["AccountKey="], r"AccountKey=([0-9A-Za-z+/]{86}==)", 3.0),
    rule("azure-ad-secret", &["Q~"], r"\b[0-9A-Za-z_~.]{3}[0-9]Q~[0-9A-Za-z_~.\-]{31,34}", 3.0),
    rule("azure-sas", &["sig="], r"[?&]sig=([0-9A-Za-z%+/]{43,64}={0,2})", 3.0),
    rule("databricks-token", &["dapi"], r"\bdapi[0-9a-f]{32}(?:-[0-9])?\b", 3.0),
    rule("huggingface-token", &["hf_", "api_org_"], r"\b(?:hf_|api_org_)[A-Za-z]{34}\b", 2.0),
    rule(
        "digitalocean-token",
        &["dop_v1_", "doo_v1_", "dor_v1_"],
        r"\bdo[opr]_v1_[0-9a-f]{64}",
        3.0,
    ),
    rule("doppler-token", &["dp.pt."], r"\bdp\.pt\.[0-9A-Za-z]{43}", 3.0),
    rule(
        "shopify-token",
        &["shpat_", "shpca_", "shppa_", "shpss_"],
        r"\bshp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}",
        2.0,
    ),
    rule(
        "square-token",
        &["sq0csp-", "sq0atp-", "EAAA"],
        r"\b(?:sq0(?:csp|atp)-[0-9A-Za-z_\-]{22,43}|EAAA[lE][0-9A-Za-z_\-]{56,64}\b)",
        3.0,
    ),
    rule("linear-key", &["lin_api_"], r"\blin_api_[0-9A-Za-z]{40}", 2.0),
    rule("notion-token", &["ntn_"], r"\bntn_[0-9]{11}[0-9A-Za-z]{35}", 3.0),
    rule("postman-key", &["PMAK-"], r"\bPMAK-[0-9a-fA-F]{24}-[0-9a-fA-F]{34}", 3.0),
    rule(
        "grafana-token",
        &["glc_", "glsa_"],
        r"\b(?:glc_[0-9A-Za-z+/]{32,400}={0,3}|glsa_[0-9A-Za-z]{32}_[0-9a-fA-F]{8})",
        3.0,
    ),
    rule(
        "new-relic-key",
        &["NRAK-", "NRJS-", "NRII-"],
        r"\b(?:NRAK-[0-9A-Z]{27}|NRJS-[0-9a-f]{19}|NRII-[0-9A-Za-z\-]{32})",
        2.5,
    ),
    rule(
        "sentry-token",
        &["sntrys_", "sntryu_"],
        r"\b(?:sntrys_[0-9A-Za-z+/=_]{80,400}|sntryu_[0-9a-f]{64})",
        3.0,
    ),
    rule("vault-token", &["hvs.", "hvb."], r"\bhv[sb]\.[0-9A-Za-z_\-]{90,300}", 3.0),
    rule(
        "terraform-token",
        &[".atlasv1."],
        r"\b[0-9A-Za-z]{14}\.atlasv1\.[0-9A-Za-z_=\-]{60,70}",
        3.0,
    ),
    rule("pulumi-token", &["pul-"], r"\bpul-[0-9a-f]{40}\b", 2.5),
    rule(
        "fly-token",
        &["fo1_", "FlyV1 "],
        r"\bfo1_[0-9A-Za-z_\-]{43}\b|FlyV1 (fm[12]_[0-9A-Za-z+/=,_]{80,1000})",
        3.0,
    ),
    rule("atlassian-token", &["ATATT3"], r"\bATATT3[0-9A-Za-z_\-=]{60,250}", 3.0),
    rule("telegram-token", &[":AA"], r"\b[0-9]{8,10}:AA[0-9A-Za-z_\-]{33}", 3.0),
    rule(
        "discord-webhook",
        &["/api/webhooks/"],
        r"discord(?:app)?\.com/api/webhooks/[0-9]{17,20}/([0-9A-Za-z_\-]{60,80})",
        3.0,
    ),
    rule("whence-token", &["whence_"], r"\bwhence_[0-9A-Za-z_\-]{20,200}", 3.0),
    Rule {
        also: Some(b'@'),
        ..rule(
            "url-password",
            &["://"],
            r"[A-Za-z][A-Za-z0-9+.\-]{1,20}://[^\s/?#@:\[\]\x22'<>]{0,100}:([^\s/?#@\[\]\x22'<>]{3,200})@",
            0.0,
        )
    },
    rule(
        "bearer-token",
        &["Bearer ", "bearer ", "BEARER "],
        r"(?i)\bbearer ([0-9A-Za-z_\-.~+/]{20,4000}={0,2})",
        3.0,
    ),
    rule(
        "basic-credentials",
        &["Basic ", "basic ", "BASIC "],
        r"(?i)\bauthorization[\x22']{0,2}[:=]\s{0,3}[\x22']?basic ([0-9A-Za-z+/]{8,400}={0,2})",
        0.0,
    ),
    rule(
        "named-secret",
        NAMES,
        r"(?i)(?:api[_-]?key|access[_-]?token|auth[_-]?token|refresh[_-]?token|client[_-]?secret|secret[_-]?(?:access[_-]?)?key|passw(?:or)?d)[\\\x22']{0,3}\s{0,3}(?:=>|:=|:|=)\s{0,3}[\\\x22']{0,3}([0-9A-Za-z_\-.+/=!@#$%^&*~]{8,200})",
        3.0,
    ),
];

/// The member names under which a text is a secret, in small letters and without `_` and `-`: the
/// end of the name.
pub(super) const SECRET_NAMES: &[&str] = &[
    "apikey",
    "accesstoken",
    "authtoken",
    "refreshtoken",
    "clientsecret",
    "secretkey",
    "secretaccesskey",
    "passwd",
    "password",
];
