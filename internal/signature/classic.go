package signature

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/bundle"
)

// The annotations in which cosign keeps what belongs to a signature (cosign v2,
// pkg/oci/static/options.go and specs/SIGNATURE_SPEC.md).
const (
	annotationSignature   = "dev.cosignproject.cosign/signature"
	annotationCertificate = "dev.sigstore.cosign/certificate"
	annotationLog         = "dev.sigstore.cosign/bundle"
	annotationTimestamp   = "dev.sigstore.cosign/rfc3161timestamp"
	annotationPredicate   = "predicateType"
)

// mediaTypeV01 is the bundle's that asks for an inclusion promise and not for a proof:
// the annotations hold no proof.
const mediaTypeV01 = "application/vnd.dev.sigstore.bundle+json;version=0.1"

// payloadType is what the payload of a classic signature says it is.
const payloadType = "cosign container image signature"

// A payload is what a classic signature signs: which image, under which name.
type payload struct {
	Critical struct {
		Identity struct {
			Reference string `json:"docker-reference"`
		} `json:"identity"`
		Image struct {
			Digest string `json:"docker-manifest-digest"`
		} `json:"image"`
		Type string `json:"type"`
	} `json:"critical"`
}

// parsePayload reads a payload. That it is signed is not known yet.
func parsePayload(data []byte) (*payload, error) {
	p := &payload{}
	if err := json.Unmarshal(data, p); err != nil {
		return nil, errors.New("payload: not the JSON that it should be")
	}
	if p.Critical.Type != payloadType {
		return nil, fmt.Errorf("payload: critical.type is %.80q, want %q", p.Critical.Type, payloadType)
	}
	if !isDigest(p.Critical.Image.Digest) {
		return nil, fmt.Errorf("payload: critical.image.docker-manifest-digest is %.80q, want a sha256 digest", p.Critical.Image.Digest)
	}
	return p, nil
}

// A logEntry is the annotation of the transparency log.
type logEntry struct {
	Promise []byte `json:"SignedEntryTimestamp"`
	Payload struct {
		Body  []byte `json:"body"`
		Time  int64  `json:"integratedTime"`
		Index int64  `json:"logIndex"`
		Log   string `json:"logID"`
	} `json:"Payload"`
}

// material makes a bundle's verification material of the annotations. With byKey the
// certificate is left out.
func material(annotations map[string]string, byKey bool) (*protobundle.VerificationMaterial, error) {
	m := &protobundle.VerificationMaterial{Content: &protobundle.VerificationMaterial_PublicKey{PublicKey: &protocommon.PublicKeyIdentifier{}}}
	if text := annotations[annotationCertificate]; text != "" && !byKey {
		block, _ := pem.Decode([]byte(text))
		if block == nil || block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("annotation %s: want a certificate", annotationCertificate)
		}
		m.Content = &protobundle.VerificationMaterial_Certificate{Certificate: &protocommon.X509Certificate{RawBytes: block.Bytes}}
	}
	if text := annotations[annotationLog]; text != "" {
		var e logEntry
		if err := json.Unmarshal([]byte(text), &e); err != nil {
			return nil, fmt.Errorf("annotation %s: not the JSON that it should be", annotationLog)
		}
		log, err := hex.DecodeString(e.Payload.Log)
		if err != nil {
			return nil, fmt.Errorf("annotation %s: logID is no hexadecimal", annotationLog)
		}
		kind, err := kindOf(e.Payload.Body)
		if err != nil {
			return nil, fmt.Errorf("annotation %s: %w", annotationLog, err)
		}
		m.TlogEntries = []*protorekor.TransparencyLogEntry{{
			LogIndex:          e.Payload.Index,
			LogId:             &protocommon.LogId{KeyId: log},
			KindVersion:       kind,
			IntegratedTime:    e.Payload.Time,
			InclusionPromise:  &protorekor.InclusionPromise{SignedEntryTimestamp: e.Promise},
			CanonicalizedBody: e.Payload.Body,
		}}
	}
	if text := annotations[annotationTimestamp]; text != "" {
		var t struct {
			Signed []byte `json:"SignedRFC3161Timestamp"`
		}
		if err := json.Unmarshal([]byte(text), &t); err != nil {
			return nil, fmt.Errorf("annotation %s: not the JSON that it should be", annotationTimestamp)
		}
		m.TimestampVerificationData = &protobundle.TimestampVerificationData{Rfc3161Timestamps: []*protocommon.RFC3161SignedTimestamp{{SignedTimestamp: t.Signed}}}
	}
	return m, nil
}

// classicSignature makes a bundle of a layer of cosign's .sig image.
func classicSignature(data []byte, annotations map[string]string, byKey bool) (*bundle.Bundle, error) {
	sig, err := base64.StdEncoding.DecodeString(annotations[annotationSignature])
	if err != nil || len(sig) == 0 {
		return nil, fmt.Errorf("annotation %s: want a signature in base64", annotationSignature)
	}
	m, err := material(annotations, byKey)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	return newBundle(&protobundle.Bundle{
		MediaType:            mediaTypeV01,
		VerificationMaterial: m,
		Content: &protobundle.Bundle_MessageSignature{MessageSignature: &protocommon.MessageSignature{
			MessageDigest: &protocommon.HashOutput{Algorithm: protocommon.HashAlgorithm_SHA2_256, Digest: sum[:]},
			Signature:     sig,
		}},
	})
}

// classicAttestation makes a bundle of a layer of cosign's .att image, a DSSE envelope.
func classicAttestation(data []byte, annotations map[string]string, byKey bool) (*bundle.Bundle, error) {
	var e struct {
		Type       string `json:"payloadType"`
		Payload    []byte `json:"payload"`
		Signatures []struct {
			KeyID     string `json:"keyid"`
			Signature []byte `json:"sig"`
		} `json:"signatures"`
	}
	if err := json.Unmarshal(data, &e); err != nil {
		return nil, errors.New("envelope: not the JSON that it should be")
	}
	if len(e.Signatures) != 1 {
		return nil, fmt.Errorf("envelope: %d signatures, want one", len(e.Signatures))
	}
	m, err := material(annotations, byKey)
	if err != nil {
		return nil, err
	}
	return newBundle(&protobundle.Bundle{
		MediaType:            mediaTypeV01,
		VerificationMaterial: m,
		Content: &protobundle.Bundle_DsseEnvelope{DsseEnvelope: &protodsse.Envelope{
			PayloadType: e.Type,
			Payload:     e.Payload,
			Signatures:  []*protodsse.Signature{{Keyid: e.Signatures[0].KeyID, Sig: e.Signatures[0].Signature}},
		}},
	})
}

func newBundle(b *protobundle.Bundle) (*bundle.Bundle, error) {
	out, err := bundle.NewBundle(b)
	if err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	return out, nil
}

// parseBundle reads a bundle as it is attached. That it is signed is not known yet.
func parseBundle(data []byte) (*bundle.Bundle, error) {
	b := &bundle.Bundle{}
	if err := b.UnmarshalJSON(data); err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	// sigstore-go compares an entry's kind with itself (pkg/tlog/entry.go). It decides
	// nothing, since the body is what is signed, but nothing unsigned is taken at its word.
	for _, e := range b.GetVerificationMaterial().GetTlogEntries() {
		kind, err := kindOf(e.GetCanonicalizedBody())
		if err != nil {
			return nil, fmt.Errorf("bundle: %w", err)
		}
		if kind.GetKind() != e.GetKindVersion().GetKind() || kind.GetVersion() != e.GetKindVersion().GetVersion() {
			return nil, errors.New("bundle: the log's entry is of another kind than it says")
		}
	}
	return b, nil
}

// kindOf is what the body of a log's entry says it is.
func kindOf(body []byte) (*protorekor.KindVersion, error) {
	var head struct {
		Kind    string `json:"kind"`
		Version string `json:"apiVersion"`
	}
	if err := json.Unmarshal(body, &head); err != nil {
		return nil, errors.New("the log's entry is not the JSON that it should be")
	}
	return &protorekor.KindVersion{Kind: head.Kind, Version: head.Version}, nil
}
