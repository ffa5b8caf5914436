//! Finding codes: the stable names of everything that a verdict can hold against evidence.
//!
//! A code is written once, here, with its meaning, the clause that asks for the check, and what to
//! do about it. `docs/findings.md` lists the same table for readers. A code is never reused for
//! something else; one that falls out of use keeps its line.

use serde::{Serialize, Serializer};

macro_rules! codes {
    ($($name:ident = $text:literal, $meaning:literal, $clause:literal, $remedy:literal;)*) => {
        /// What kind of finding it is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $(#[doc = $meaning] $name,)*
        }

        impl Code {
            /// Every code, in the order in which findings are sorted.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The stable text, such as `PROV-REF`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// One sentence that says what is wrong.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning,)* }
            }

            /// The clause of a specification, or of this project's documentation, that asks for the check.
            pub fn clause(self) -> &'static str {
                match self { $(Self::$name => $clause,)* }
            }

            /// What to do about it.
            pub fn remedy(self) -> &'static str {
                match self { $(Self::$name => $remedy,)* }
            }
        }
    };
}

codes! {
    SigLimit = "SIG-LIMIT",
        "The document exceeds a limit on size, lines, signatures, log entries or proofs.",
        "docs/policy.md, Limits",
        "Ask the producer for a smaller document; the limits are listed in model/src/limits.rs.";
    SigMalformed = "SIG-MALFORMED",
        "The document is no well-formed Sigstore bundle or DSSE envelope.",
        "sigstore protobuf-specs, sigstore_bundle.proto; DSSE envelope.md",
        "Fetch the document again; if it is unchanged at its source, ask the producer.";
    SigUnsupported = "SIG-UNSUPPORTED",
        "The document uses a content, key or log entry type that cannot be verified.",
        "sigstore protobuf-specs, sigstore_bundle.proto",
        "Ask the producer for a DSSE bundle with an in-toto payload, or a message signature.";
    SigUnsigned = "SIG-UNSIGNED",
        "The statement carries no signature.",
        "SLSA v1.1, verifying-artifacts.md, step 1",
        "Sign the statement; an unsigned one proves nothing.";
    SigInvalid = "SIG-INVALID",
        "The signature does not verify over the content with the signer's key.",
        "DSSE protocol.md; sigstore client-spec, Verification",
        "Treat the document as tampered with; fetch it from the producer again.";
    SigSubject = "SIG-SUBJECT",
        "The signature is about other bytes than the file in question.",
        "in-toto attestation, statement.md; sigstore client-spec, Verification",
        "Use the bundle that belongs to this file, or fetch the file again.";
    SigCertificate = "SIG-CERTIFICATE",
        "The signing certificate or its certificate-transparency proof is not trusted.",
        "sigstore client-spec, Verification, Certificate",
        "Check that the trust root is the one of the authority that issued the certificate.";
    SigLog = "SIG-LOG",
        "A transparency-log entry, its inclusion proof or its checkpoint is missing or wrong.",
        "sigstore client-spec, Verification, Transparency Log Entry",
        "Ask the producer for a bundle with an inclusion proof and checkpoint; for a .cert file, see docs/policy.md, Legacy forms.";
    SigTime = "SIG-TIME",
        "There is no trusted signing time, or it lies in the future.",
        "sigstore client-spec, Verification, Establishing a Time for the Signature",
        "Ask for a bundle with a signed timestamp; check the time that the verdict was asked for.";
    SigKey = "SIG-KEY",
        "No managed key of the policy made this signature.",
        "SLSA v1.1, verifying-artifacts.md, step 1",
        "Add the signer's public key to the policy if it is to be trusted.";
    SigLegacy = "SIG-LEGACY",
        "The signature is in a legacy form that its signer does not name in the policy.",
        "docs/policy.md, Legacy forms",
        "Ask the producer for a Sigstore bundle; or name the form in `legacy` of the signer.";
    SigRoot = "SIG-ROOT",
        "Another trust root vouches for the signature than the one that its signer is pinned to.",
        "docs/policy.md, Trust roots",
        "Pin the signer to the trust root that certifies it; treat a signature under another one as forged.";
    IdIssuer = "ID-ISSUER",
        "No signer of the policy has the issuer of the signing certificate.",
        "sigstore client-spec, Verification, Certificate; Fulcio oid-info.md, 1.3.6.1.4.1.57264.1.8",
        "Add a signer with this issuer to the policy if it is to be trusted.";
    IdSubject = "ID-SUBJECT",
        "No signer of the policy has the identity in the signing certificate.",
        "sigstore client-spec, Verification, Certificate, subject alternative name",
        "Add a signer with this identity to the policy if it is to be trusted.";
    IdClaim = "ID-CLAIM",
        "A claim in the signing certificate differs from what the policy demands of the signer.",
        "Fulcio oid-info.md",
        "Compare the claim with the policy; a build from another place was signed.";
    IdValidity = "ID-VALIDITY",
        "The managed key was used outside the time for which the policy trusts it.",
        "docs/policy.md, [[signer]]",
        "Sign with a key that is valid, or correct valid_from and valid_until in the policy.";
    StmtMalformed = "STMT-MALFORMED",
        "The signed payload is no in-toto statement that can be read.",
        "in-toto attestation, spec/v1/statement.md",
        "Ask the producer for a Statement v1 or v0.1.";
    StmtDigest = "STMT-DIGEST",
        "No subject of the statement has a SHA-256 or SHA-512 digest.",
        "in-toto attestation, spec/v1/digest_set.md",
        "Ask the producer to name subjects by SHA-256.";
    StmtPredicate = "STMT-PREDICATE",
        "The predicate is not what its type promises.",
        "in-toto attestation, spec/predicates; SLSA v1.2, verification_summary.md",
        "Ask the producer for a predicate that follows the specification of its type.";
    StmtFailed = "STMT-FAILED",
        "The statement says of its subject that a test or a verification failed.",
        "in-toto attestation, spec/predicates/test-result.md; SLSA v1.2, verification_summary.md",
        "Repair what failed; a document that says so is no proof of anything good.";
    StmtUnused = "STMT-UNUSED",
        "The document is verified but answers no rule of the policy.",
        "in-toto attestation, spec/v1/statement.md, predicateType",
        "Nothing is wrong; the document was not needed.";
    ProvMissing = "PROV-MISSING",
        "There is no provenance for the artifact.",
        "SLSA v1.1, verifying-artifacts.md; docs/policy.md, [provenance]",
        "Attach the provenance that the build made for this file.";
    ProvPredicate = "PROV-PREDICATE",
        "The statement is a provenance of a version that is not accepted.",
        "SLSA v1.1, verifying-artifacts.md, step 3",
        "Ask the producer for SLSA provenance v1 or v0.2.";
    ProvMalformed = "PROV-MALFORMED",
        "The provenance predicate does not have the shape that its type promises.",
        "SLSA v1.1, provenance.md; SLSA v0.2, provenance.md",
        "Ask the producer for a well-formed predicate.";
    ProvSubject = "PROV-SUBJECT",
        "The provenance is not about this artifact, or contradicts itself about it.",
        "SLSA v1.1, verifying-artifacts.md, step 2",
        "Attach the provenance of this very file; compare the digests in the finding.";
    ProvBuilder = "PROV-BUILDER",
        "The builder that the provenance names is not in the policy.",
        "SLSA v1.1, verifying-artifacts.md, step 4",
        "Add the builder to the policy if it is to be trusted.";
    ProvSigner = "PROV-SIGNER",
        "The provenance names a builder of the policy but was signed by somebody else.",
        "SLSA v1.1, verifying-artifacts.md, step 1; SLSA threats, (E)",
        "Treat the provenance as forged, unless the builder's signers in the policy are incomplete.";
    ProvLevel = "PROV-LEVEL",
        "The builder is trusted for a lower level than the policy demands.",
        "SLSA v1.1, verifying-artifacts.md, step 4",
        "Build on a builder of the demanded level, or lower the demand.";
    ProvSource = "PROV-SOURCE",
        "The artifact was built from another source repository, or from an unnamed one.",
        "SLSA v1.1, verifying-artifacts.md, step 5",
        "Build from the expected repository, or correct provenance.source in the policy.";
    ProvRef = "PROV-REF",
        "The artifact was built from another tag, branch or ref.",
        "SLSA v1.1, verifying-artifacts.md, step 5",
        "Build from the expected ref, or correct tag, branch or ref in the policy.";
    ProvClaims = "PROV-CLAIMS",
        "The provenance names another source than the signing certificate does.",
        "Fulcio oid-info.md, 1.3.6.1.4.1.57264.1.12 to .14; SLSA threats, (E)",
        "Treat the provenance as forged: the builder vouched for another source.";
    ProvBuildType = "PROV-BUILD-TYPE",
        "The build type is not one that the policy lists.",
        "SLSA v1.1, verifying-artifacts.md, step 6",
        "Add the build type to provenance.build_types if its parameters are understood.";
    ProvParameter = "PROV-PARAMETER",
        "The build had an external parameter that the policy does not list.",
        "SLSA v1.1, verifying-artifacts.md, step 7",
        "Add the parameter to provenance.parameters if any value of it is harmless.";
    ProvQuorum = "PROV-QUORUM",
        "Fewer distinct signers made an accepted provenance than the policy demands.",
        "docs/policy.md, Quorum and age",
        "Attach provenance by further signers of the builder, or correct quorum in the policy.";
    ProvAge = "PROV-AGE",
        "The provenance was signed too long ago, or at no authenticated time.",
        "docs/policy.md, Quorum and age",
        "Build again, with a bundle that holds a signing time, or correct max_age in the policy.";
    ProvInput = "PROV-INPUT",
        "The workflow was not started with an input that the policy demands.",
        "SLSA v1.1, verifying-artifacts.md, step 7; docs/policy.md, [provenance]",
        "Start the workflow with the demanded input, or correct provenance.inputs in the policy.";
    ProvValue = "PROV-VALUE",
        "An external parameter is missing or has another value than the policy demands.",
        "SLSA v1.1, verifying-artifacts.md, step 7; docs/policy.md, [provenance]",
        "Build with the demanded value, or correct provenance.parameter_values in the policy.";
    ProvDependency = "PROV-DEPENDENCY",
        "The build used a dependency that the policy does not list, or one with another digest.",
        "SLSA v1.1, verifying-artifacts.md, step 8; docs/policy.md, [provenance]",
        "Add the dependency to provenance.dependencies if it is to be trusted.";
    VsaMissing = "VSA-MISSING",
        "There is no signed summary of the release.",
        "docs/policy.md, [[verifier]]",
        "Make one with attest vsa, or let the verdict be reached from the evidence.";
    VsaInput = "VSA-INPUT",
        "The summary of the release was made from other evidence, or under another trust root or other rules.",
        "SLSA v1.2, verification_summary.md, inputAttestations; docs/policy.md, [[verifier]]",
        "Verify again and make a new summary: the verdict may be another one.";
    VsaVerifier = "VSA-VERIFIER",
        "The verifier that the summary names is not in the policy.",
        "SLSA v1.2, verification_summary.md, How to verify; docs/policy.md, [[verifier]]",
        "Add the verifier to the policy if its word is to be taken.";
    VsaSigner = "VSA-SIGNER",
        "The summary names a verifier of the policy but was signed by somebody else.",
        "SLSA v1.2, verification_summary.md, How to verify; docs/policy.md, [[verifier]]",
        "Treat the summary as forged, unless the verifier's signers in the policy are incomplete.";
    VsaSubject = "VSA-SUBJECT",
        "The summary is not about this artifact, or contradicts itself about it.",
        "SLSA v1.2, verification_summary.md, How to verify",
        "Attach the summary of this very file; compare the digests in the finding.";
    VsaResource = "VSA-RESOURCE",
        "The summary is about another resource than the policy expects for this artifact.",
        "SLSA v1.2, verification_summary.md, How to verify; docs/policy.md, [[verifier]]",
        "Attach the summary of this resource, or correct verifier.resource in the policy.";
    VsaPolicy = "VSA-POLICY",
        "The summary was made under another policy than those that are accepted.",
        "SLSA v1.2, verification_summary.md, policy; docs/policy.md, [[verifier]]",
        "Ask the verifier which policy it applied, and list its digest if it is good.";
    VsaLevel = "VSA-LEVEL",
        "The summary says, or its verifier is trusted for, a lower level than the policy demands.",
        "SLSA v1.2, verification_summary.md, verifiedLevels; docs/policy.md, [[verifier]]",
        "Build on a builder of the demanded level, or lower the demand.";
    VsaAge = "VSA-AGE",
        "The summary is too old, says no time, or says one that has not come yet.",
        "SLSA v1.2, verification_summary.md, timeVerified; docs/policy.md, [[verifier]]",
        "Let the verifier verify again, or correct max_age in the policy.";
    SrcMissing = "SRC-MISSING",
        "There is no summary of the commit that the artifact was built from.",
        "SLSA v1.2, verifying-source.md; docs/policy.md, [source]",
        "Attach the summary (VSA) that the source control system made of this commit.";
    SrcCommit = "SRC-COMMIT",
        "No accepted provenance names the commit that the artifact was built from.",
        "SLSA v1.2, verifying-source.md; docs/policy.md, [source]",
        "Build where the provenance names the commit, beside the source that started the build.";
    SrcVerifier = "SRC-VERIFIER",
        "The summary of the commit is by a verifier that the policy does not list.",
        "SLSA v1.2, verifying-source.md; docs/policy.md, [source]",
        "Add the verifier to source.verifiers if its word is to be taken.";
    SrcSigner = "SRC-SIGNER",
        "The summary of the commit names a verifier of the policy but was signed by somebody else.",
        "SLSA v1.2, verifying-source.md; docs/policy.md, [source]",
        "Treat the summary as forged, unless the verifier's signers in the policy are incomplete.";
    SrcRepository = "SRC-REPOSITORY",
        "The summary of the commit is about another repository than the provenance names.",
        "SLSA v1.2, verifying-source.md; docs/policy.md, [source]",
        "Attach the summary of the commit in this repository.";
    SrcRef = "SRC-REF",
        "The commit was not on the ref that the policy demands.",
        "SLSA v1.2, verifying-source.md; docs/policy.md, [source]",
        "Build from a commit on the demanded ref, or correct tag, branch or ref in the policy.";
    SrcLevel = "SRC-LEVEL",
        "The source was kept, or its verifier is trusted, at a lower level than the policy demands.",
        "SLSA v1.2, verifying-source.md; docs/policy.md, [source]",
        "Raise the controls of the repository, or lower the demand.";
    SrcAge = "SRC-AGE",
        "The summary of the commit is too old, says no time, or says one that has not come yet.",
        "SLSA v1.2, verifying-source.md; docs/policy.md, [source]",
        "Let the source control system verify again, or correct max_age in the policy.";
    NpmMissing = "NPM-MISSING",
        "There is no publish attestation of the registry for the package.",
        "npm attestation, specs/publish/v0.1; docs/policy.md, [npm]",
        "Attach the registry's attestations of the package beside its provenance.";
    NpmPackage = "NPM-PACKAGE",
        "The registry published another package, another version, or is another registry.",
        "npm attestation, specs/publish/v0.1; docs/policy.md, [npm]",
        "Fetch the package again under the name and version that the policy names.";
    NpmSigner = "NPM-SIGNER",
        "The publish attestation is not signed by one who speaks for the registry.",
        "npm attestation, specs/publish/v0.1; docs/policy.md, [npm]",
        "Treat the attestation as forged, unless npm.signers is incomplete.";
    NpmSubject = "NPM-SUBJECT",
        "The publish attestation is not about this file, or contradicts itself about it.",
        "npm attestation, specs/publish/v0.1; docs/policy.md, [npm]",
        "Attach the attestation of this very file; compare the digests in the finding.";
    NpmPair = "NPM-PAIR",
        "No accepted provenance names the package as the registry published it.",
        "npm attestation, specs/publish/v0.1; docs/policy.md, [npm]",
        "Attach the provenance of the very package and version that was published.";
    SbomMissing = "SBOM-MISSING",
        "There is no SBOM that names the artifact.",
        "docs/policy.md, [sbom]",
        "Attach an SBOM, or set `rule = \"off\"` under `[sbom]` in the policy.";
    SbomMalformed = "SBOM-MALFORMED",
        "The document is no SBOM that can be read.",
        "SPDX 2.3 and 3.0; CycloneDX (ECMA-424)",
        "Make the SBOM again with a tool that writes valid SPDX or CycloneDX.";
    SbomFormat = "SBOM-FORMAT",
        "The SBOM is of a format that the policy does not list.",
        "docs/policy.md, [sbom]",
        "Make the SBOM in a listed format, or add the format to sbom.formats.";
    SbomSubject = "SBOM-SUBJECT",
        "The SBOM, or the statement around it, does not name the digest of the artifact.",
        "docs/policy.md, [sbom]",
        "Make the SBOM from the very file that is released.";
    SbomSigner = "SBOM-SIGNER",
        "The SBOM is not signed by one of the signers that the policy demands.",
        "docs/policy.md, [sbom]",
        "Attach the SBOM as a signed attestation by one of sbom.signers.";
    SbomQuorum = "SBOM-QUORUM",
        "Fewer distinct signers made an accepted SBOM than the policy demands.",
        "docs/policy.md, Quorum and age",
        "Attach the SBOM as attestations by further signers, or correct quorum in the policy.";
    SbomAge = "SBOM-AGE",
        "The SBOM was signed too long ago, or at no authenticated time.",
        "docs/policy.md, Quorum and age",
        "Attest the SBOM again, with a signing time, or correct max_age in the policy.";
    SumMissing = "SUM-MISSING",
        "No checksum was declared for the artifact.",
        "docs/policy.md, [checksums]",
        "Add a checksum list or sidecar, or set `rule = \"off\"` under `[checksums]`.";
    SumMismatch = "SUM-MISMATCH",
        "A declared checksum disagrees with the artifact.",
        "docs/policy.md, [checksums]",
        "Find out which of the two is right before anything is published.";
    SumMalformed = "SUM-MALFORMED",
        "A checksum document cannot be read.",
        "GNU coreutils, sha256sum output format",
        "Write the checksums again, one `<hex>  <path>` on each line.";
    SumUnknown = "SUM-UNKNOWN",
        "A checksum was declared with an algorithm whose digest of the artifact is not known.",
        "docs/policy.md, [checksums]",
        "Ingest the artifact again so that this digest is computed.";
    SumStray = "SUM-STRAY",
        "A checksum list names a file that is not in the release.",
        "docs/policy.md, [checksums]",
        "Add the file to the release, or take its line out of the list.";
    ReqMissing = "REQ-MISSING",
        "A document that the policy requires is not there.",
        "docs/policy.md, [[require]]",
        "Attach a signed statement of the required type.";
    ReqSubject = "REQ-SUBJECT",
        "A required document is not about the artifact or the release, or contradicts itself about it.",
        "docs/policy.md, [[require]]",
        "Attach the statement about this very file; compare the digests in the finding.";
    ReqSigner = "REQ-SIGNER",
        "A required document is not signed by one of the signers that the requirement names.",
        "docs/policy.md, [[require]]",
        "Attach a statement by one of these signers, or correct the requirement.";
    ReqQuorum = "REQ-QUORUM",
        "Fewer distinct signers made a required document than the policy demands.",
        "docs/policy.md, Quorum and age",
        "Attach statements by further signers, or correct quorum in the requirement.";
    ReqAge = "REQ-AGE",
        "A required document was signed too long ago, or at no authenticated time.",
        "docs/policy.md, Quorum and age",
        "Sign it again, with a signing time, or correct max_age in the requirement.";
    LayoutMissing = "LAYOUT-MISSING",
        "There is no in-toto layout for the release.",
        "in-toto specification 1.0, 5.2; docs/policy.md, [layout]",
        "Attach the layout that the project's owners signed, and the links of its steps.";
    LayoutMalformed = "LAYOUT-MALFORMED",
        "A document is no in-toto layout or link, or one that contradicts itself.",
        "in-toto specification 1.0, 4.2 to 4.4; docs/policy.md, [layout]",
        "Fetch the document again; if it is unchanged at its source, make it again.";
    LayoutLimit = "LAYOUT-LIMIT",
        "A layout or link, or what its rules ask for, is larger than what is looked at.",
        "docs/policy.md, Limits",
        "Split the layout, or record fewer files in a link.";
    LayoutDigest = "LAYOUT-DIGEST",
        "The layout is not the one whose digest the policy names.",
        "docs/policy.md, [layout]",
        "Attach the layout that the policy names, or correct layout.digest after looking at the new one.";
    LayoutSigner = "LAYOUT-SIGNER",
        "The layout is not signed by as many of its owners as the policy demands.",
        "in-toto specification 1.0, 5.2, step 1; docs/policy.md, [layout]",
        "Treat the layout as forged, unless layout.signers is incomplete.";
    LayoutExpired = "LAYOUT-EXPIRED",
        "The layout has expired.",
        "in-toto specification 1.0, 5.2, step 2",
        "Ask the owners for a layout with a later end.";
    LayoutUnsupported = "LAYOUT-UNSUPPORTED",
        "The layout asks for what a verdict does not do, or has a rule that is read in different ways.",
        "in-toto specification 1.0, 4.3; docs/policy.md, [layout]",
        "Ask the owners for a layout without inspections, sublayouts, weak keys and doubtful patterns.";
    LayoutStep = "LAYOUT-STEP",
        "Fewer of those who may do a step signed a link of it than the layout demands.",
        "in-toto specification 1.0, 5.2, steps 3 and 4",
        "Attach the links of the step by those whom the layout names.";
    LayoutLink = "LAYOUT-LINK",
        "A link counts for no step: nobody who may do the step signed it.",
        "in-toto specification 1.0, 5.2, step 4",
        "Treat the link as forged, unless it belongs to another release.";
    LayoutDisagree = "LAYOUT-DISAGREE",
        "Two links of one step have different materials or products.",
        "in-toto specification 1.0, 5.2, step 5",
        "Find out which of them is right before anything is published.";
    LayoutCommand = "LAYOUT-COMMAND",
        "A step was done with another command than the layout expects.",
        "in-toto specification 1.0, 5.2, step 6",
        "Look at the command; the specification takes it for a hint, so it is only a warning.";
    LayoutRule = "LAYOUT-RULE",
        "The materials or products of a step break an artifact rule of the layout.",
        "in-toto specification 1.0, 4.3.3 and 5.2, step 7",
        "Find out where the files in the finding come from, and do the step again.";
    LayoutProduct = "LAYOUT-PRODUCT",
        "The artifact is no product of the last step of the layout.",
        "in-toto specification 1.0, 5.2; docs/policy.md, [layout]",
        "Release what the last step made, or name in layout.paths what the layout is about.";
    ExprFalse = "EXPR-FALSE",
        "An expression of the policy is not true.",
        "docs/policy.md, [[expression]]",
        "Look at what the expression asks for; the finding has its message or its text.";
    ExprError = "EXPR-ERROR",
        "An expression of the policy has no value, or one that is neither true nor false.",
        "docs/policy.md, [[expression]]",
        "Ask with has() whether a field is there before its value is used.";
    ExprBudget = "EXPR-BUDGET",
        "An expression of the policy would take more steps, or look at larger documents, than it may.",
        "docs/policy.md, [[expression]]",
        "Ask for less, or remove documents that are too large to be looked at.";
    RelMissing = "REL-MISSING",
        "An artifact that the policy expects is not in the release.",
        "docs/policy.md, [release]",
        "Add the artifact, or correct release.artifacts in the policy.";
    RelExtra = "REL-EXTRA",
        "The release has an artifact that the policy does not expect.",
        "docs/policy.md, [release]",
        "Remove the artifact, or add it to release.artifacts in the policy.";
    RelPlatformMissing = "REL-PLATFORM-MISSING",
        "Nothing in the release is for a platform that the policy expects.",
        "docs/policy.md, [release]",
        "Add what is missing, or correct release.platforms in the policy.";
    RelPlatformExtra = "REL-PLATFORM-EXTRA",
        "An artifact is for a platform that the policy does not expect.",
        "docs/policy.md, [release]",
        "Remove the artifact, or add its platform to release.platforms in the policy.";
    RelUnknown = "REL-UNKNOWN",
        "It is not known what the artifact is, so it cannot be told which demands apply.",
        "docs/policy.md, [[scope]]",
        "Verify it as part of its release in a store; of a single file, say which path it has there.";
    RelUnmatched = "REL-UNMATCHED",
        "A document of evidence is about nothing in the release.",
        "docs/policy.md, [provenance]",
        "Attach the document to the release that it is about.";
    RelLimit = "REL-LIMIT",
        "The release has more documents of evidence than are looked at.",
        "docs/policy.md, Limits",
        "Remove documents that no rule needs; the limit is in model/src/limits.rs.";
}

impl Code {
    /// Whether it is found by a requirement or an expression, of which a policy has several by name.
    pub(crate) fn is_of_named_rule(self) -> bool {
        ["REQ-", "EXPR-"].iter().any(|family| self.as_str().starts_with(family))
    }

    /// Whether a policy may let it pass for a while. What is not listed here may not: signatures,
    /// identities and digests are genuine or they are not, whatever the date. Nor may what keeps other
    /// rules from looking, as a builder whom nobody knows does with signer, level and age.
    pub fn may_be_excepted(self) -> bool {
        matches!(
            self,
            Self::ProvMissing
                | Self::ProvLevel
                | Self::ProvSource
                | Self::ProvRef
                | Self::ProvBuildType
                | Self::ProvParameter
                | Self::ProvQuorum
                | Self::ProvAge
                | Self::SbomMissing
                | Self::SbomFormat
                | Self::SbomQuorum
                | Self::SbomAge
                | Self::SumMissing
                | Self::SumUnknown
                | Self::ReqMissing
                | Self::ReqQuorum
                | Self::ReqAge
                | Self::ExprFalse
                | Self::RelMissing
                | Self::RelExtra
                | Self::RelPlatformMissing
                | Self::RelPlatformExtra
        )
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What follows the introduction of `docs/findings.md`.
    fn listed() -> String {
        let section = |code: &Code| {
            format!(
                "\n## {code}\n\n{}\n\n- Clause: {}\n- Remedy: {}\n",
                code.meaning(),
                code.clause(),
                code.remedy()
            )
        };
        Code::ALL.iter().map(section).collect()
    }

    #[test]
    fn the_documentation_lists_every_code() {
        let text = include_str!("../../docs/findings.md");
        let at = text.find("\n## ").unwrap();
        assert_eq!(text.get(at..).unwrap(), listed());
    }

    /// Clauses named sections of a document that is not in the repository. What they name is there.
    #[test]
    fn every_clause_of_our_own_is_a_heading() {
        let policy = include_str!("../../docs/policy.md");
        for code in Code::ALL {
            assert!(!code.clause().contains("bonded design"), "{code}");
            let own = code.clause().split("; ").filter_map(|c| c.strip_prefix("docs/policy.md, "));
            for section in own {
                let headings = [format!("# `{section}`\n"), format!("# {section}\n")];
                let is_there = |heading: &String| {
                    ["\n#", "\n##"]
                        .iter()
                        .any(|depth| policy.contains(&format!("{depth}{heading}")))
                };
                assert!(headings.iter().any(is_there), "{code} {section}");
            }
        }
    }

    #[test]
    fn codes_are_unique_and_grouped() {
        let texts: std::collections::BTreeSet<_> = Code::ALL.iter().map(|c| c.as_str()).collect();
        assert_eq!(texts.len(), Code::ALL.len());
        let families = [
            "SIG-", "ID-", "STMT-", "PROV-", "VSA-", "SRC-", "NPM-", "SBOM-", "SUM-", "REQ-",
            "LAYOUT-", "EXPR-", "REL-",
        ];
        assert!(texts.iter().all(|text| families.iter().any(|family| text.starts_with(family))));
    }
}
