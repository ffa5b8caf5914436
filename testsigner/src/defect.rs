//! What may be wrong with a bundle: one thing at a time, with everything else made to fit.

/// One defect of a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Defect {
    // The certificate.
    /// It ended ten minutes before the signing.
    CertificateExpired,
    /// It begins ten minutes after the signing.
    CertificateNotYetValid,
    /// An authority that the trust root does not name issued it.
    UnknownAuthority,
    /// An authority issued it that the trust root believed until 2024 only.
    RetiredAuthority,
    /// The intermediate above it ended in 2024, though the trust root still names it.
    LapsedIntermediate,
    /// It is not one for signing code.
    NoCodeSigning,
    /// Its key may not make signatures.
    NoDigitalSignature,
    /// It is an authority itself.
    LeafIsAuthority,
    /// No certificate log promises to hold it.
    NoSct,
    /// The promise of the certificate log does not verify.
    SctForged,
    /// The promise is about another certificate.
    SctOfAnotherCertificate,
    /// A certificate log that the trust root does not name made the promise.
    SctOfUnknownLog,
    /// A certificate log made the promise that the trust root believed until 2024 only.
    SctOfRetiredLog,
    /// The old extensions name another repository than the new ones.
    ClaimsDisagree,
    /// The old extension names another issuer than the new one.
    IssuersDisagree,
    /// A claim is no UTF-8 string in DER.
    ClaimMalformed,
    /// The extension with the issuer is there twice, with two values.
    ExtensionTwice,
    /// No extension names the issuer.
    NoIssuer,
    /// The identity is an e-mail address that reads like a URI.
    EmailLikeUri,
    /// The identity is neither an e-mail address nor a URI.
    OtherName,
    /// There are two identities: the right one first.
    TwoNames,
    /// There is no identity.
    NoName,
    /// The chain above it stands in the bundle, whose version has the certificate alone.
    ChainInThird,

    // The entry of the last log.
    /// The log is not in the trust root.
    UnknownLog,
    /// The trust root believed the log until 2024 only.
    RetiredLog,
    /// It says that it is of another log of the trust root.
    IdOfAnotherLog,
    /// It records another signature, of the same key over the same content.
    EntryOfAnotherSignature,
    /// It records another content.
    EntryOfAnotherArtifact,
    /// It records another certificate of the same holder, or another key.
    EntryOfAnotherSigner,
    /// It records another certificate of the same key.
    EntryOfAnotherCertificate,
    /// It is there twice.
    EntryTwice,
    /// The log integrated it an hour after the signing, and promises so.
    IntegratedLate,
    /// The promise does not verify.
    PromiseForged,
    /// The promise is over another time than the entry says.
    PromiseOfAnotherTime,
    /// There is no promise: nobody vouches for the time.
    NoPromise,
    /// There is a promise, and no time that it promises.
    PromiseOfNoTime,
    /// The log promises something, though it is one that promises nothing.
    PromiseOfSecond,
    /// There is no proof of inclusion.
    NoProof,
    /// There is no proof, and the bundle says to be of version 0.1, where none is needed.
    Downgraded,
    /// There is a proof without checkpoint.
    NoCheckpoint,
    /// The proof is that of the leaf beside it.
    ProofOfAnotherLeaf,
    /// One hash of the proof is wrong.
    ProofHashWrong,
    /// The proof says another size of the tree than the checkpoint.
    ProofOfAnotherSize,
    /// The signature on the checkpoint does not verify.
    CheckpointForged,
    /// The checkpoint is that of another tree.
    CheckpointOfAnotherTree,
    /// The checkpoint is over another size with the same root.
    CheckpointOfAnotherSize,
    /// The checkpoint is that of another origin, signed with the same key.
    CheckpointOfAnotherOrigin,

    // The last timestamp.
    /// It was made an hour after the signing.
    StampLate,
    /// It was made an hour before the signing.
    StampEarly,
    /// It is over another signature.
    StampOfAnotherSignature,
    /// An authority made it that the trust root does not name.
    StampOfUnknownAuthority,
    /// An authority made it that the trust root believed until 2024 only.
    StampOfRetiredAuthority,
    /// The authority's certificate ended in 2024.
    StampOfLapsedAuthority,
    /// The certificate above the authority's ended in 2024.
    StampBelowLapsedRoot,
    /// The authority's certificate is not one for timestamps.
    StampWithoutUsage,
    /// Its signature does not verify.
    StampForged,
    /// What is signed says to be something else than a timestamp.
    StampOfOtherContent,
    /// It is there twice.
    StampTwice,

    // The signature and what it is over.
    /// It does not verify.
    SignatureForged,
    /// Another key than the certificate's made it, over the same content.
    SignedByAnotherKey,
    /// A second one stands beside it that does not verify.
    SecondSignature,
    /// One byte of the payload is another.
    PayloadChanged,
    /// The payload has a space more.
    PayloadSpaced,
    /// The type of the payload is another, though it was not signed so.
    PayloadTypeChanged,
    /// The digest that a message signature declares is that of another file.
    DigestOfAnotherFile,
    /// The hint is that of another key.
    HintOfAnotherKey,

    // The text.
    /// Base64 is written in the alphabet for URLs.
    Base64UrlSafe,
    /// Base64 is written without padding.
    Base64Unpadded,
    /// Base64 is broken into lines.
    Base64Wrapped,
    /// The payload, or the signature, stands there twice with two values, the right one last.
    KeyTwice,
    /// Something follows.
    TrailingBytes,
    /// A byte order mark comes first.
    ByteOrderMark,
}
