// Keys in a token, used from Go: by miekg/pkcs11, which is the interface as it is, and by crypto11, which makes them
// crypto.Signer and crypto.Decrypter. The module is named by MODULE, the token's label by TOKEN, the PIN by PIN. Writes what
// others check into the folder that is its argument.
package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/ThalesIgnite/crypto11"
	"github.com/miekg/pkcs11"
)

var message = []byte("signed in the HSM, checked outside")

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: programs FOLDER")
	}
	folder := os.Args[1]
	write(folder, "message", message)
	interfaceAsItIs(folder)
	signers(folder)
}

// interfaceAsItIs makes an RSA pair, signs with it and lets the HSM verify.
func interfaceAsItIs(folder string) {
	p := pkcs11.New(os.Getenv("MODULE"))
	if p == nil {
		log.Fatal("the module cannot be loaded")
	}
	defer p.Destroy()
	must(p.Initialize())
	defer p.Finalize()
	slots, err := p.GetSlotList(true)
	must(err)
	session, err := p.OpenSession(slots[0], pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	must(err)
	defer p.CloseSession(session)
	must(p.Login(session, pkcs11.CKU_USER, os.Getenv("PIN")))
	defer p.Logout(session)
	public, private, err := p.GenerateKeyPair(session,
		[]*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN, nil)},
		[]*pkcs11.Attribute{
			pkcs11.NewAttribute(pkcs11.CKA_LABEL, "go-miekg"),
			pkcs11.NewAttribute(pkcs11.CKA_MODULUS_BITS, 2048),
			pkcs11.NewAttribute(pkcs11.CKA_PUBLIC_EXPONENT, []byte{1, 0, 1}),
			pkcs11.NewAttribute(pkcs11.CKA_VERIFY, true),
		},
		[]*pkcs11.Attribute{
			pkcs11.NewAttribute(pkcs11.CKA_LABEL, "go-miekg"),
			pkcs11.NewAttribute(pkcs11.CKA_SIGN, true),
		})
	must(err)
	mechanism := []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_SHA256_RSA_PKCS, nil)}
	must(p.SignInit(session, mechanism, private))
	signature, err := p.Sign(session, message)
	must(err)
	must(p.VerifyInit(session, mechanism, public))
	must(p.Verify(session, message, signature))
	signature[0] ^= 1
	must(p.VerifyInit(session, mechanism, public))
	if err := p.Verify(session, message, signature); err != pkcs11.Error(pkcs11.CKR_SIGNATURE_INVALID) {
		log.Fatalf("a wrong signature: %v", err)
	}
	fmt.Println("miekg/pkcs11: RSA, by the token as well")
}

// signers makes pairs that Go's own packages use without knowing where they lie.
func signers(folder string) {
	context, err := crypto11.Configure(&crypto11.Config{
		Path: os.Getenv("MODULE"), TokenLabel: os.Getenv("TOKEN"), Pin: os.Getenv("PIN"),
		UseGCMIVFromHSM: true, GCMIVLength: 12,
	})
	must(err)
	defer context.Close()
	digest := sha256.Sum256(message)

	ec, err := context.GenerateECDSAKeyPairWithLabel([]byte("go-ec"), []byte("go-ec"), elliptic.P256())
	must(err)
	signature, err := ec.Sign(rand.Reader, digest[:], crypto.SHA256)
	must(err)
	if !ecdsa.VerifyASN1(ec.Public().(*ecdsa.PublicKey), digest[:], signature) {
		log.Fatal("Go does not accept the ECDSA signature")
	}
	export(folder, "go-ec", ec.Public(), signature)

	pair, err := context.GenerateRSAKeyPairWithLabel([]byte("go-rsa"), []byte("go-rsa"), 2048)
	must(err)
	signature, err = pair.Sign(rand.Reader, digest[:], crypto.SHA256)
	must(err)
	public := pair.Public().(*rsa.PublicKey)
	must(rsa.VerifyPKCS1v15(public, crypto.SHA256, digest[:], signature))
	export(folder, "go-rsa", public, signature)
	pss, err := pair.Sign(rand.Reader, digest[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256})
	must(err)
	must(rsa.VerifyPSS(public, crypto.SHA256, digest[:], pss, nil))
	sealed, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, public, message, nil)
	must(err)
	opened, err := pair.Decrypt(rand.Reader, sealed, &rsa.OAEPOptions{Hash: crypto.SHA256})
	must(err)
	if string(opened) != string(message) {
		log.Fatalf("opened %q", opened)
	}

	found, err := context.FindKeyPair(nil, []byte("go-ec"))
	must(err)
	if found == nil {
		log.Fatal("the pair is not found again by its label")
	}

	// CKM_CLOUDHSM_AES_GCM: the HSM draws the nonce and puts it before the ciphertext.
	aes := *crypto11.CipherAES
	aes.GCMMech = 0x80001087
	key, err := context.GenerateSecretKeyWithLabel([]byte("go-aes"), []byte("go-aes"), 256, &aes)
	must(err)
	gcm, err := key.NewGCM()
	must(err)
	nonce := make([]byte, gcm.NonceSize())
	text := gcm.Seal(nil, nonce, message, []byte("beside"))
	if len(text) != gcm.NonceSize()+len(message)+gcm.Overhead() {
		log.Fatalf("AES-GCM made %d bytes", len(text))
	}
	plain, err := gcm.Open(nil, nonce, text, []byte("beside"))
	must(err)
	if string(plain) != string(message) {
		log.Fatalf("opened %q", plain)
	}
	if _, err := gcm.Open(nil, nonce, text, []byte("besides")); err == nil {
		log.Fatal("AES-GCM opens with other data beside")
	}
	fmt.Println("crypto11: ECDSA, RSA, PSS, OAEP, AES-GCM")
}

func export(folder, name string, public crypto.PublicKey, signature []byte) {
	der, err := x509.MarshalPKIXPublicKey(public)
	must(err)
	write(folder, name+".pub", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	write(folder, name+".sig", signature)
}

func write(folder, name string, content []byte) {
	must(os.WriteFile(filepath.Join(folder, name), content, 0o600))
}

func must(err error) {
	if err != nil {
		log.Output(2, err.Error())
		log.SetFlags(log.Lshortfile)
		log.Output(2, err.Error())
		os.Exit(1)
	}
}
