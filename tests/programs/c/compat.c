/* What a program sees of a PKCS #11 module, one line a fact: the same program runs on SoftHSM2 and on Strongroom's
 * library, and its output is compared. Nothing that is printed is random. Lines that begin with "!" are faults of the
 * module or of the program's assumptions; there must be none.
 *
 * compat MODULE PIN [threads]
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cryptoki.h"

#include "keys.h"

static CK_FUNCTION_LIST_PTR p;
static CK_SLOT_ID slot;
static const char *pin;

static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;

struct name {
    CK_RV rv;
    const char *text;
};

#define N(x) { x, #x }
static const struct name NAMES[] = {
    N(CKR_OK), N(CKR_SLOT_ID_INVALID), N(CKR_ARGUMENTS_BAD), N(CKR_ATTRIBUTE_READ_ONLY), N(CKR_ATTRIBUTE_SENSITIVE),
    N(CKR_ATTRIBUTE_TYPE_INVALID), N(CKR_ATTRIBUTE_VALUE_INVALID), N(CKR_BUFFER_TOO_SMALL),
    N(CKR_CRYPTOKI_ALREADY_INITIALIZED), N(CKR_CRYPTOKI_NOT_INITIALIZED), N(CKR_DATA_INVALID), N(CKR_DATA_LEN_RANGE),
    N(CKR_ENCRYPTED_DATA_INVALID), N(CKR_ENCRYPTED_DATA_LEN_RANGE), N(CKR_FUNCTION_FAILED),
    N(CKR_FUNCTION_NOT_SUPPORTED), N(CKR_GENERAL_ERROR), N(CKR_KEY_FUNCTION_NOT_PERMITTED), N(CKR_KEY_HANDLE_INVALID),
    N(CKR_KEY_TYPE_INCONSISTENT), N(CKR_MECHANISM_INVALID), N(CKR_MECHANISM_PARAM_INVALID),
    N(CKR_OBJECT_HANDLE_INVALID), N(CKR_OPERATION_ACTIVE), N(CKR_OPERATION_NOT_INITIALIZED), N(CKR_PIN_INCORRECT),
    N(CKR_SESSION_HANDLE_INVALID), N(CKR_SESSION_PARALLEL_NOT_SUPPORTED), N(CKR_SIGNATURE_INVALID),
    N(CKR_SIGNATURE_LEN_RANGE), N(CKR_TEMPLATE_INCOMPLETE), N(CKR_TEMPLATE_INCONSISTENT), N(CKR_USER_ALREADY_LOGGED_IN),
    N(CKR_USER_NOT_LOGGED_IN), N(CKR_USER_TYPE_INVALID), N(CKR_KEY_UNEXTRACTABLE), N(CKR_DEVICE_ERROR),
};

static const char *text(CK_RV rv)
{
    static char number[32];
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        if (NAMES[i].rv == rv)
            return NAMES[i].text;
    snprintf(number, sizeof number, "0x%lx", (unsigned long)rv);
    return number;
}

static void say(const char *what, CK_RV rv)
{
    printf("%s: %s\n", what, text(rv));
}

static void fault(const char *what, CK_RV rv)
{
    printf("! %s: %s\n", what, text(rv));
}

static void hex(const char *what, const CK_BYTE *bytes, CK_ULONG len)
{
    printf("%s: ", what);
    for (CK_ULONG i = 0; i < len; i++)
        printf("%02x", bytes[i]);
    printf("\n");
}

static CK_SESSION_HANDLE opened(void)
{
    CK_SESSION_HANDLE session = 0;
    CK_RV rv = p->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session);
    if (rv != CKR_OK)
        fault("C_OpenSession", rv);
    return session;
}

static void state(const char *what, CK_SESSION_HANDLE session)
{
    CK_SESSION_INFO info;
    memset(&info, 0xff, sizeof info);
    CK_RV rv = p->C_GetSessionInfo(session, &info);
    if (rv != CKR_OK) {
        say(what, rv);
        return;
    }
    printf("%s: state %lu flags %lu slot %d\n", what, (unsigned long)info.state, (unsigned long)info.flags,
           info.slotID == slot);
}

/* ---- general ------------------------------------------------------------------------------------------------- */

static void general(void)
{
    CK_ULONG missing = 0;
    /* The version comes first; then nothing but pointers. */
    void **first = (void **)&p->C_Initialize, **end = (void **)(p + 1);
    for (void **at = first; at < end; at++)
        missing += *at == NULL;
    printf("functions missing: %lu of %ld\n", (unsigned long)missing, (long)(end - first));

    CK_INFO info;
    say("C_GetInfo before C_Initialize", p->C_GetInfo(&info));
    say("C_Finalize before C_Initialize", p->C_Finalize(NULL));
    CK_C_INITIALIZE_ARGS args;
    memset(&args, 0, sizeof args);
    args.flags = CKF_OS_LOCKING_OK;
    args.pReserved = &args;
    say("C_Initialize with pReserved", p->C_Initialize(&args));
    args.pReserved = NULL;
    say("C_Initialize", p->C_Initialize(&args));
    say("C_Initialize again", p->C_Initialize(&args));
    say("C_GetInfo", p->C_GetInfo(&info));
    printf("version: %d\n", info.cryptokiVersion.major);
    say("C_GetInfo(NULL)", p->C_GetInfo(NULL));

    CK_ULONG count = 0;
    say("C_GetSlotList(NULL count)", p->C_GetSlotList(CK_TRUE, NULL, NULL));
    say("C_GetSlotList length", p->C_GetSlotList(CK_TRUE, NULL, &count));
    CK_SLOT_ID slots[16];
    CK_ULONG room = 0;
    say("C_GetSlotList too small", p->C_GetSlotList(CK_TRUE, slots, &room));
    count = 16;
    say("C_GetSlotList", p->C_GetSlotList(CK_TRUE, slots, &count));
    CK_TOKEN_INFO token;
    for (CK_ULONG i = 0; i < count; i++) {
        if (p->C_GetTokenInfo(slots[i], &token) == CKR_OK && (token.flags & CKF_TOKEN_INITIALIZED)) {
            slot = slots[i];
            break;
        }
    }
    CK_SLOT_INFO slot_info;
    say("C_GetSlotInfo", p->C_GetSlotInfo(slot, &slot_info));
    printf("token present: %d\n", (slot_info.flags & CKF_TOKEN_PRESENT) != 0);
    say("C_GetSlotInfo of none", p->C_GetSlotInfo(0x123456, &slot_info));
    say("C_GetTokenInfo", p->C_GetTokenInfo(slot, &token));
    CK_FLAGS wanted = CKF_RNG | CKF_LOGIN_REQUIRED | CKF_USER_PIN_INITIALIZED | CKF_TOKEN_INITIALIZED;
    printf("token flags: %d, write protected: %d\n", (token.flags & wanted) == wanted,
           (token.flags & CKF_WRITE_PROTECTED) != 0);
    say("C_GetTokenInfo of none", p->C_GetTokenInfo(0x123456, &token));

    CK_MECHANISM_TYPE mechanisms[512];
    CK_ULONG mechanism_count = 512;
    say("C_GetMechanismList", p->C_GetMechanismList(slot, mechanisms, &mechanism_count));
    CK_ULONG unknown = 0;
    for (CK_ULONG i = 0; i < mechanism_count; i++) {
        CK_MECHANISM_INFO of;
        unknown += p->C_GetMechanismInfo(slot, mechanisms[i], &of) != CKR_OK;
    }
    printf("mechanisms without information: %lu\n", (unsigned long)unknown);
    CK_MECHANISM_INFO of;
    say("C_GetMechanismInfo of none", p->C_GetMechanismInfo(slot, 0x7ffffff0, &of));
    room = 1;
    say("C_GetMechanismList too small", p->C_GetMechanismList(slot, mechanisms, &room));
}

/* ---- sessions and logins --------------------------------------------------------------------------------------- */

static void sessions(void)
{
    CK_SESSION_HANDLE one = 0, two, three;
    say("C_OpenSession without CKF_SERIAL_SESSION", p->C_OpenSession(slot, CKF_RW_SESSION, NULL, NULL, &one));
    say("C_OpenSession on no slot",
        p->C_OpenSession(0x123456, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &one));
    say("C_OpenSession(NULL)", p->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, NULL));
    one = opened();
    two = opened();
    say("C_OpenSession read-only", p->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &three));
    state("public session", one);
    state("public read-only session", three);
    say("C_Logout before a login", p->C_Logout(one));
    CK_BYTE wrong[] = "crypto_user:not the password";
    say("C_Login with a wrong PIN", p->C_Login(one, CKU_USER, wrong, sizeof wrong - 1));
    state("after a wrong PIN", one);
    say("C_Login", p->C_Login(one, CKU_USER, (CK_UTF8CHAR_PTR)pin, strlen(pin)));
    say("C_Login again", p->C_Login(one, CKU_USER, (CK_UTF8CHAR_PTR)pin, strlen(pin)));
    say("C_Login in another session", p->C_Login(two, CKU_USER, (CK_UTF8CHAR_PTR)pin, strlen(pin)));
    state("session that logged in", one);
    state("session beside it", two);
    state("read-only session beside it", three);
    say("C_CloseSession of the one that logged in", p->C_CloseSession(one));
    state("closed session", one);
    say("C_CloseSession again", p->C_CloseSession(one));
    state("session that is left", two);
    say("C_Logout", p->C_Logout(two));
    state("after logout", two);
    say("C_Login anew", p->C_Login(two, CKU_USER, (CK_UTF8CHAR_PTR)pin, strlen(pin)));
    say("C_CloseAllSessions", p->C_CloseAllSessions(slot));
    state("after C_CloseAllSessions", two);
    one = opened();
    state("the next session", one);
    say("C_CloseAllSessions on no slot", p->C_CloseAllSessions(0x123456));
    say("C_GetSessionInfo(NULL)", p->C_GetSessionInfo(one, NULL));
    p->C_CloseSession(one);
}

/* ---- digests ---------------------------------------------------------------------------------------------------- */

static void digests(CK_SESSION_HANDLE session)
{
    static const CK_MECHANISM_TYPE types[] = { CKM_SHA_1, CKM_SHA224, CKM_SHA256, CKM_SHA384, CKM_SHA512 };
    CK_BYTE data[301], out[64];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (CK_BYTE)i;
    for (size_t i = 0; i < 5; i++) {
        CK_MECHANISM mechanism = { types[i], NULL, 0 };
        CK_ULONG len = 0;
        say("C_DigestInit", p->C_DigestInit(session, &mechanism));
        say("C_Digest length", p->C_Digest(session, data, sizeof data, NULL, &len));
        printf("length: %lu\n", (unsigned long)len);
        len--;
        say("C_Digest too small", p->C_Digest(session, data, sizeof data, out, &len));
        printf("length: %lu\n", (unsigned long)len);
        len = sizeof out;
        say("C_Digest", p->C_Digest(session, data, sizeof data, out, &len));
        hex("digest", out, len);
        say("C_Digest without C_DigestInit", p->C_Digest(session, data, sizeof data, out, &len));

        p->C_DigestInit(session, &mechanism);
        say("C_DigestInit while one is active", p->C_DigestInit(session, &mechanism));
        for (size_t at = 0; at < sizeof data; at += 43)
            if (p->C_DigestUpdate(session, data + at, sizeof data - at < 43 ? sizeof data - at : 43) != CKR_OK)
                fault("C_DigestUpdate", 0);
        len = 0;
        say("C_DigestFinal length", p->C_DigestFinal(session, NULL, &len));
        len = sizeof out;
        say("C_DigestFinal", p->C_DigestFinal(session, out, &len));
        hex("digest in parts", out, len);
    }
    CK_MECHANISM none = { 0x7ffffff0, NULL, 0 };
    say("C_DigestInit with no mechanism", p->C_DigestInit(session, &none));
    say("C_DigestUpdate without C_DigestInit", p->C_DigestUpdate(session, data, 1));
    CK_ULONG len = sizeof out;
    say("C_DigestFinal without C_DigestInit", p->C_DigestFinal(session, out, &len));
}

/* ---- keys ------------------------------------------------------------------------------------------------------- */

static CK_OBJECT_CLASS secret_class = CKO_SECRET_KEY, private_class = CKO_PRIVATE_KEY, public_class = CKO_PUBLIC_KEY;
static CK_KEY_TYPE aes_type = CKK_AES, generic_type = CKK_GENERIC_SECRET, rsa_type = CKK_RSA, ec_type = CKK_EC;

static CK_OBJECT_HANDLE created(CK_SESSION_HANDLE session, const char *what, CK_ATTRIBUTE *template, CK_ULONG count)
{
    CK_OBJECT_HANDLE object = 0;
    CK_RV rv = p->C_CreateObject(session, template, count, &object);
    say(what, rv);
    return object;
}

static CK_OBJECT_HANDLE secret(CK_SESSION_HANDLE session, CK_KEY_TYPE *type, CK_BYTE *value, CK_ULONG len, char *label)
{
    CK_ATTRIBUTE cipher[] = {
        { CKA_CLASS, &secret_class, sizeof secret_class }, { CKA_KEY_TYPE, type, sizeof *type },
        { CKA_TOKEN, &no, 1 },   { CKA_VALUE, value, len },    { CKA_LABEL, label, strlen(label) },
        { CKA_SIGN, &yes, 1 },   { CKA_VERIFY, &yes, 1 },      { CKA_SENSITIVE, &yes, 1 },
        { CKA_EXTRACTABLE, &yes, 1 },
        { CKA_ENCRYPT, &yes, 1 }, { CKA_DECRYPT, &yes, 1 },
    };
    /* A generic secret enciphers nothing. */
    return created(session, "C_CreateObject of a secret key", cipher, *type == CKK_GENERIC_SECRET ? 9 : 11);
}

static void ciphers(CK_SESSION_HANDLE session)
{
    CK_BYTE value[32], iv[16], data[200], out[256], back[256];
    for (size_t i = 0; i < sizeof value; i++)
        value[i] = (CK_BYTE)(i * 7);
    for (size_t i = 0; i < sizeof iv; i++)
        iv[i] = (CK_BYTE)(0xf0 + i);
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (CK_BYTE)(i * 3);
    CK_OBJECT_HANDLE key = secret(session, &aes_type, value, 32, "compat aes");

    CK_AES_CTR_PARAMS counter = { 128, { 0 } };
    memcpy(counter.cb, iv, 16);
    CK_MECHANISM mechanisms[] = {
        { CKM_AES_ECB, NULL, 0 }, { CKM_AES_CBC, iv, 16 }, { CKM_AES_CBC_PAD, iv, 16 },
        { CKM_AES_CTR, &counter, sizeof counter },
    };
    static const char *names[] = { "AES_ECB", "AES_CBC", "AES_CBC_PAD", "AES_CTR" };
    for (int i = 0; i < 4; i++) {
        CK_ULONG whole = i < 2 ? 192 : 200, len = 0, back_len = sizeof back;
        printf("-- %s\n", names[i]);
        say("C_EncryptInit", p->C_EncryptInit(session, &mechanisms[i], key));
        CK_RV rv = p->C_Encrypt(session, data, whole, NULL, &len);
        say("C_Encrypt length", rv);
        printf("length is enough: %d\n", len >= whole);
        len = 5;
        say("C_Encrypt too small", p->C_Encrypt(session, data, whole, out, &len));
        len = sizeof out;
        say("C_Encrypt", p->C_Encrypt(session, data, whole, out, &len));
        hex("ciphertext", out, len);
        say("C_Encrypt without C_EncryptInit", p->C_Encrypt(session, data, whole, out, &back_len));

        say("C_DecryptInit", p->C_DecryptInit(session, &mechanisms[i], key));
        back_len = sizeof back;
        say("C_Decrypt", p->C_Decrypt(session, out, len, back, &back_len));
        printf("same: %d\n", back_len == whole && !memcmp(back, data, whole));

        /* In parts of 21 bytes. */
        CK_BYTE parts[256];
        CK_ULONG at = 0;
        p->C_EncryptInit(session, &mechanisms[i], key);
        for (CK_ULONG from = 0; from < whole; from += 21) {
            CK_ULONG room = sizeof parts - at;
            rv = p->C_EncryptUpdate(session, data + from, whole - from < 21 ? whole - from : 21, parts + at, &room);
            if (rv != CKR_OK)
                fault("C_EncryptUpdate", rv);
            at += room;
        }
        CK_ULONG room = sizeof parts - at;
        say("C_EncryptFinal", p->C_EncryptFinal(session, parts + at, &room));
        at += room;
        printf("the same in parts: %d\n", at == len && !memcmp(parts, out, len));

        at = 0;
        p->C_DecryptInit(session, &mechanisms[i], key);
        for (CK_ULONG from = 0; from < len; from += 33) {
            room = sizeof back - at;
            rv = p->C_DecryptUpdate(session, out + from, len - from < 33 ? len - from : 33, back + at, &room);
            if (rv != CKR_OK)
                fault("C_DecryptUpdate", rv);
            at += room;
        }
        room = sizeof back - at;
        say("C_DecryptFinal", p->C_DecryptFinal(session, back + at, &room));
        at += room;
        printf("the same in parts: %d\n", at == whole && !memcmp(back, data, whole));
    }

    CK_ULONG len = sizeof out;
    p->C_EncryptInit(session, &mechanisms[1], key);
    say("C_Encrypt of half a block", p->C_Encrypt(session, data, 17, out, &len));
    CK_MECHANISM no_iv = { CKM_AES_CBC, NULL, 0 };
    say("C_EncryptInit without an IV", p->C_EncryptInit(session, &no_iv, key));
    say("C_EncryptInit with no key", p->C_EncryptInit(session, &mechanisms[1], 0x7ffffff0));
    CK_MECHANISM none = { 0x7ffffff0, NULL, 0 };
    say("C_EncryptInit with no mechanism", p->C_EncryptInit(session, &none, key));
    say("C_EncryptInit", p->C_EncryptInit(session, &mechanisms[1], key));
    say("C_EncryptInit while one is active", p->C_EncryptInit(session, &mechanisms[1], key));
    say("C_DecryptInit beside it", p->C_DecryptInit(session, &mechanisms[1], key));
    len = sizeof out;
    p->C_Encrypt(session, data, 16, out, &len);
    p->C_Decrypt(session, out, len, back, &len);

    /* NIST GCM, the vector of 60 bytes and 20 bytes of associated data (SP 800-38D test case 16). */
    static CK_BYTE gcm_key[] = { 0xfe, 0xff, 0xe9, 0x92, 0x86, 0x65, 0x73, 0x1c, 0x6d, 0x6a, 0x8f, 0x94, 0x67, 0x30, 0x83, 0x08,
                                 0xfe, 0xff, 0xe9, 0x92, 0x86, 0x65, 0x73, 0x1c, 0x6d, 0x6a, 0x8f, 0x94, 0x67, 0x30, 0x83, 0x08 };
    static CK_BYTE gcm_iv[] = { 0xca, 0xfe, 0xba, 0xbe, 0xfa, 0xce, 0xdb, 0xad, 0xde, 0xca, 0xf8, 0x88 };
    static CK_BYTE gcm_aad[] = { 0xfe, 0xed, 0xfa, 0xce, 0xde, 0xad, 0xbe, 0xef, 0xfe, 0xed,
                                 0xfa, 0xce, 0xde, 0xad, 0xbe, 0xef, 0xab, 0xad, 0xda, 0xd2 };
    static CK_BYTE gcm_text[] = {
        0x52, 0x2d, 0xc1, 0xf0, 0x99, 0x56, 0x7d, 0x07, 0xf4, 0x7f, 0x37, 0xa3, 0x2a, 0x84, 0x42, 0x7d,
        0x64, 0x3a, 0x8c, 0xdc, 0xbf, 0xe5, 0xc0, 0xc9, 0x75, 0x98, 0xa2, 0xbd, 0x25, 0x55, 0xd1, 0xaa,
        0x8c, 0xb0, 0x8e, 0x48, 0x59, 0x0d, 0xbb, 0x3d, 0xa7, 0xb0, 0x8b, 0x10, 0x56, 0x82, 0x88, 0x38,
        0xc5, 0xf6, 0x1e, 0x63, 0x93, 0xba, 0x7a, 0x0a, 0xbc, 0xc9, 0xf6, 0x62,
        0x76, 0xfc, 0x6e, 0xce, 0x0f, 0x4e, 0x17, 0x68, 0xcd, 0xdf, 0x88, 0x53, 0xbb, 0x2d, 0x55, 0x1b };
    CK_OBJECT_HANDLE gcm = secret(session, &aes_type, gcm_key, 32, "compat gcm");
    CK_GCM_PARAMS parameters;
    memset(&parameters, 0, sizeof parameters);
    parameters.pIv = gcm_iv;
    parameters.ulIvLen = 12;
    parameters.pAAD = gcm_aad;
    parameters.ulAADLen = sizeof gcm_aad;
    parameters.ulTagBits = 128;
    CK_MECHANISM gcm_mechanism = { CKM_AES_GCM, &parameters, sizeof parameters };
    say("C_DecryptInit with GCM", p->C_DecryptInit(session, &gcm_mechanism, gcm));
    len = sizeof back;
    say("C_Decrypt with GCM", p->C_Decrypt(session, gcm_text, sizeof gcm_text, back, &len));
    hex("plaintext", back, len);
    gcm_text[3] ^= 1;
    p->C_DecryptInit(session, &gcm_mechanism, gcm);
    len = sizeof back;
    printf("GCM of altered bytes is refused: %d\n",
           p->C_Decrypt(session, gcm_text, sizeof gcm_text, back, &len) != CKR_OK);
    parameters.ulTagBits = 129;
    say("C_DecryptInit with a tag of 129 bits", p->C_DecryptInit(session, &gcm_mechanism, gcm));
    p->C_DestroyObject(session, gcm);
    say("C_DestroyObject", p->C_DestroyObject(session, key));
    say("C_DestroyObject again", p->C_DestroyObject(session, key));
    printf("a destroyed key encrypts: %d\n", p->C_EncryptInit(session, &mechanisms[1], key) == CKR_OK);
}

static void macs(CK_SESSION_HANDLE session)
{
    static const CK_MECHANISM_TYPE types[] = { CKM_SHA_1_HMAC, CKM_SHA224_HMAC, CKM_SHA256_HMAC, CKM_SHA384_HMAC,
                                               CKM_SHA512_HMAC, CKM_AES_CMAC };
    CK_BYTE value[64], data[150], out[64];
    for (size_t i = 0; i < sizeof value; i++)
        value[i] = (CK_BYTE)(i * 5 + 1);
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (CK_BYTE)(i ^ 0x3c);
    CK_OBJECT_HANDLE generic = secret(session, &generic_type, value, 64, "compat generic");
    CK_OBJECT_HANDLE aes = secret(session, &aes_type, value, 16, "compat cmac");
    for (size_t i = 0; i < 6; i++) {
        CK_OBJECT_HANDLE key = types[i] == CKM_AES_CMAC ? aes : generic;
        CK_MECHANISM mechanism = { types[i], NULL, 0 };
        CK_ULONG len = 0;
        say("C_SignInit", p->C_SignInit(session, &mechanism, key));
        say("C_Sign length", p->C_Sign(session, data, sizeof data, NULL, &len));
        printf("length: %lu\n", (unsigned long)len);
        len = 3;
        say("C_Sign too small", p->C_Sign(session, data, sizeof data, out, &len));
        len = sizeof out;
        say("C_Sign", p->C_Sign(session, data, sizeof data, out, &len));
        hex("MAC", out, len);
        say("C_VerifyInit", p->C_VerifyInit(session, &mechanism, key));
        say("C_Verify", p->C_Verify(session, data, sizeof data, out, len));
        p->C_VerifyInit(session, &mechanism, key);
        out[0] ^= 1;
        say("C_Verify of altered bytes", p->C_Verify(session, data, sizeof data, out, len));
        out[0] ^= 1;
        p->C_VerifyInit(session, &mechanism, key);
        say("C_Verify of a short MAC", p->C_Verify(session, data, sizeof data, out, len - 1));

        CK_BYTE parts[64];
        CK_ULONG parts_len = sizeof parts;
        p->C_SignInit(session, &mechanism, key);
        for (size_t at = 0; at < sizeof data; at += 50)
            say("C_SignUpdate", p->C_SignUpdate(session, data + at, 50));
        say("C_SignFinal", p->C_SignFinal(session, parts, &parts_len));
        printf("the same in parts: %d\n", parts_len == len && !memcmp(parts, out, len));
        p->C_VerifyInit(session, &mechanism, key);
        p->C_VerifyUpdate(session, data, 70);
        p->C_VerifyUpdate(session, data + 70, 80);
        say("C_VerifyFinal", p->C_VerifyFinal(session, out, len));
    }
    CK_MECHANISM hmac = { CKM_SHA256_HMAC, NULL, 0 };
    say("C_Sign without C_SignInit", p->C_Sign(session, data, 1, out, &(CK_ULONG){ sizeof out }));
    say("C_SignUpdate without C_SignInit", p->C_SignUpdate(session, data, 1));
    say("C_SignFinal without C_SignInit", p->C_SignFinal(session, out, &(CK_ULONG){ sizeof out }));
    say("C_Verify without C_VerifyInit", p->C_Verify(session, data, 1, out, 32));
    p->C_SignInit(session, &hmac, generic);
    say("C_SignInit while one is active", p->C_SignInit(session, &hmac, generic));
    p->C_Sign(session, data, 1, out, &(CK_ULONG){ sizeof out });
    p->C_DestroyObject(session, generic);
    p->C_DestroyObject(session, aes);
}

static void rsa(CK_SESSION_HANDLE session)
{
    CK_BYTE exponent[] = { 1, 0, 1 };
    CK_ATTRIBUTE private_template[] = {
        { CKA_CLASS, &private_class, sizeof private_class }, { CKA_KEY_TYPE, &rsa_type, sizeof rsa_type },
        { CKA_TOKEN, &no, 1 }, { CKA_SIGN, &yes, 1 }, { CKA_DECRYPT, &yes, 1 }, { CKA_SENSITIVE, &yes, 1 },
        { CKA_EXTRACTABLE, &no, 1 },
        { CKA_MODULUS, (void *)MODULUS, sizeof MODULUS }, { CKA_PUBLIC_EXPONENT, exponent, sizeof exponent },
        { CKA_PRIVATE_EXPONENT, (void *)PRIVATE_EXPONENT, sizeof PRIVATE_EXPONENT },
        { CKA_PRIME_1, (void *)PRIME_1, sizeof PRIME_1 }, { CKA_PRIME_2, (void *)PRIME_2, sizeof PRIME_2 },
        { CKA_EXPONENT_1, (void *)EXPONENT_1, sizeof EXPONENT_1 },
        { CKA_EXPONENT_2, (void *)EXPONENT_2, sizeof EXPONENT_2 },
        { CKA_COEFFICIENT, (void *)COEFFICIENT, sizeof COEFFICIENT },
    };
    CK_ATTRIBUTE public_template[] = {
        { CKA_CLASS, &public_class, sizeof public_class }, { CKA_KEY_TYPE, &rsa_type, sizeof rsa_type },
        { CKA_TOKEN, &no, 1 }, { CKA_VERIFY, &yes, 1 }, { CKA_ENCRYPT, &yes, 1 }, { CKA_PRIVATE, &yes, 1 },
        { CKA_MODULUS, (void *)MODULUS, sizeof MODULUS }, { CKA_PUBLIC_EXPONENT, exponent, sizeof exponent },
    };
    CK_OBJECT_HANDLE private_key = created(session, "C_CreateObject of an RSA private key", private_template, 15);
    CK_OBJECT_HANDLE public_key = created(session, "C_CreateObject of an RSA public key", public_template, 8);

    CK_BYTE data[100], out[256], back[256];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (CK_BYTE)(i + 9);
    CK_RSA_PKCS_PSS_PARAMS pss = { CKM_SHA256, CKG_MGF1_SHA256, 32 };
    CK_MECHANISM mechanisms[] = {
        { CKM_RSA_PKCS, NULL, 0 }, { CKM_SHA256_RSA_PKCS, NULL, 0 }, { CKM_SHA512_RSA_PKCS, NULL, 0 },
        { CKM_SHA256_RSA_PKCS_PSS, &pss, sizeof pss },
    };
    for (int i = 0; i < 4; i++) {
        CK_ULONG len = 0;
        say("C_SignInit", p->C_SignInit(session, &mechanisms[i], private_key));
        say("C_Sign length", p->C_Sign(session, data, sizeof data, NULL, &len));
        printf("length: %lu\n", (unsigned long)len);
        len = sizeof out;
        say("C_Sign", p->C_Sign(session, data, sizeof data, out, &len));
        if (i < 3)
            hex("signature", out, len);
        say("C_VerifyInit", p->C_VerifyInit(session, &mechanisms[i], public_key));
        say("C_Verify", p->C_Verify(session, data, sizeof data, out, len));
        p->C_VerifyInit(session, &mechanisms[i], public_key);
        out[17] ^= 1;
        say("C_Verify of altered bytes", p->C_Verify(session, data, sizeof data, out, len));
        out[17] ^= 1;
        p->C_VerifyInit(session, &mechanisms[i], public_key);
        say("C_Verify of a short signature", p->C_Verify(session, data, sizeof data, out, len - 1));
        if (i > 0) {
            p->C_VerifyInit(session, &mechanisms[i], public_key);
            p->C_VerifyUpdate(session, data, 60);
            p->C_VerifyUpdate(session, data + 60, 40);
            say("C_VerifyFinal", p->C_VerifyFinal(session, out, len));
        }
    }
    p->C_SignInit(session, &mechanisms[0], private_key);
    CK_ULONG len = sizeof out;
    say("C_Sign of too much with CKM_RSA_PKCS", p->C_Sign(session, out, 250, back, &len));

    CK_RSA_PKCS_OAEP_PARAMS oaep = { CKM_SHA_1, CKG_MGF1_SHA1, CKZ_DATA_SPECIFIED, NULL, 0 };
    CK_MECHANISM encryptions[] = { { CKM_RSA_PKCS_OAEP, &oaep, sizeof oaep }, { CKM_RSA_PKCS, NULL, 0 } };
    for (int i = 0; i < 2; i++) {
        say("C_EncryptInit", p->C_EncryptInit(session, &encryptions[i], public_key));
        len = sizeof out;
        say("C_Encrypt", p->C_Encrypt(session, data, 60, out, &len));
        printf("length: %lu\n", (unsigned long)len);
        say("C_DecryptInit", p->C_DecryptInit(session, &encryptions[i], private_key));
        CK_ULONG back_len = sizeof back;
        say("C_Decrypt", p->C_Decrypt(session, out, len, back, &back_len));
        printf("same: %d\n", back_len == 60 && !memcmp(back, data, 60));
    }

    CK_BYTE modulus[256], hidden[256], label[3];
    CK_BBOOL flag = 7;
    CK_ATTRIBUTE wanted[] = {
        { CKA_MODULUS, modulus, sizeof modulus }, { CKA_PRIVATE_EXPONENT, hidden, sizeof hidden },
        { CKA_SENSITIVE, &flag, 1 },
    };
    say("C_GetAttributeValue with a sensitive one", p->C_GetAttributeValue(session, private_key, wanted, 3));
    printf("modulus %d, private exponent unavailable %d, sensitive %d\n",
           wanted[0].ulValueLen == 256 && !memcmp(modulus, MODULUS, 256),
           wanted[1].ulValueLen == CK_UNAVAILABLE_INFORMATION, flag);
    CK_ATTRIBUTE small[] = { { CKA_MODULUS, label, sizeof label }, { CKA_PUBLIC_EXPONENT, exponent, 3 } };
    say("C_GetAttributeValue too small", p->C_GetAttributeValue(session, public_key, small, 2));
    printf("modulus unavailable %d, exponent %lu\n", small[0].ulValueLen == CK_UNAVAILABLE_INFORMATION,
           (unsigned long)small[1].ulValueLen);
    CK_ATTRIBUTE unknown[] = { { CKA_EC_POINT, modulus, sizeof modulus }, { CKA_PUBLIC_EXPONENT, exponent, 3 } };
    say("C_GetAttributeValue of what RSA keys lack", p->C_GetAttributeValue(session, public_key, unknown, 2));
    printf("exponent %lu\n", (unsigned long)unknown[1].ulValueLen);
    CK_ATTRIBUTE lengths[] = { { CKA_MODULUS, NULL, 0 }, { CKA_PUBLIC_EXPONENT, NULL, 0 } };
    say("C_GetAttributeValue of lengths", p->C_GetAttributeValue(session, public_key, lengths, 2));
    printf("modulus %lu, exponent %lu\n", (unsigned long)lengths[0].ulValueLen, (unsigned long)lengths[1].ulValueLen);
    p->C_DestroyObject(session, private_key);
    p->C_DestroyObject(session, public_key);
}

static void ec(CK_SESSION_HANDLE session)
{
    static CK_BYTE p256[] = { 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07 };
    CK_ATTRIBUTE private_template[] = {
        { CKA_CLASS, &private_class, sizeof private_class }, { CKA_KEY_TYPE, &ec_type, sizeof ec_type },
        { CKA_TOKEN, &no, 1 }, { CKA_SIGN, &yes, 1 }, { CKA_SENSITIVE, &yes, 1 }, { CKA_EXTRACTABLE, &no, 1 },
        { CKA_EC_PARAMS, p256, sizeof p256 }, { CKA_VALUE, (void *)EC_PRIVATE, sizeof EC_PRIVATE },
    };
    CK_ATTRIBUTE public_template[] = {
        { CKA_CLASS, &public_class, sizeof public_class }, { CKA_KEY_TYPE, &ec_type, sizeof ec_type },
        { CKA_TOKEN, &no, 1 }, { CKA_VERIFY, &yes, 1 }, { CKA_PRIVATE, &yes, 1 },
        { CKA_EC_PARAMS, p256, sizeof p256 }, { CKA_EC_POINT, (void *)EC_PUBLIC, sizeof EC_PUBLIC },
    };
    CK_OBJECT_HANDLE private_key = created(session, "C_CreateObject of an EC private key", private_template, 8);
    CK_OBJECT_HANDLE public_key = created(session, "C_CreateObject of an EC public key", public_template, 7);
    CK_BYTE digest[32], out[128];
    memset(digest, 0x6b, sizeof digest);
    CK_MECHANISM ecdsa = { CKM_ECDSA, NULL, 0 };
    CK_ULONG len = 0;
    say("C_SignInit", p->C_SignInit(session, &ecdsa, private_key));
    say("C_Sign length", p->C_Sign(session, digest, sizeof digest, NULL, &len));
    printf("length: %lu\n", (unsigned long)len);
    len = sizeof out;
    say("C_Sign", p->C_Sign(session, digest, sizeof digest, out, &len));
    printf("length: %lu\n", (unsigned long)len);
    say("C_VerifyInit", p->C_VerifyInit(session, &ecdsa, public_key));
    say("C_Verify", p->C_Verify(session, digest, sizeof digest, out, len));
    out[5] ^= 1;
    p->C_VerifyInit(session, &ecdsa, public_key);
    say("C_Verify of altered bytes", p->C_Verify(session, digest, sizeof digest, out, len));
    p->C_VerifyInit(session, &ecdsa, public_key);
    say("C_Verify of a short signature", p->C_Verify(session, digest, sizeof digest, out, len - 1));
    CK_BYTE point[100];
    CK_ATTRIBUTE wanted[] = { { CKA_EC_POINT, point, sizeof point } };
    say("C_GetAttributeValue of the point", p->C_GetAttributeValue(session, public_key, wanted, 1));
    printf("same: %d\n", wanted[0].ulValueLen == sizeof EC_PUBLIC && !memcmp(point, EC_PUBLIC, sizeof EC_PUBLIC));
    p->C_DestroyObject(session, private_key);
    p->C_DestroyObject(session, public_key);
}

/* ---- finding ------------------------------------------------------------------------------------------------------ */

static void found(CK_SESSION_HANDLE session, const char *what, CK_ATTRIBUTE *template, CK_ULONG count)
{
    CK_OBJECT_HANDLE objects[3];
    CK_ULONG total = 0, some = 0;
    CK_RV rv = p->C_FindObjectsInit(session, template, count);
    if (rv != CKR_OK) {
        say(what, rv);
        return;
    }
    do {
        rv = p->C_FindObjects(session, objects, 3, &some);
        total += some;
    } while (rv == CKR_OK && some > 0);
    rv = p->C_FindObjectsFinal(session);
    printf("%s: %lu, %s\n", what, (unsigned long)total, text(rv));
}

static void finding(CK_SESSION_HANDLE session)
{
    CK_MECHANISM generation = { CKM_AES_KEY_GEN, NULL, 0 };
    CK_ULONG len = 32;
    CK_OBJECT_HANDLE keys[7];
    char label[] = "compat find 0";
    CK_BYTE id[] = { 1, 0 };
    for (int i = 0; i < 7; i++) {
        label[12] = (char)('0' + i % 2);
        id[1] = (CK_BYTE)(i % 3);
        CK_ATTRIBUTE template[] = { { CKA_TOKEN, i < 4 ? &yes : &no, 1 }, { CKA_VALUE_LEN, &len, sizeof len },
                                    { CKA_LABEL, label, 13 }, { CKA_ID, id, 2 }, { CKA_ENCRYPT, &yes, 1 } };
        CK_RV rv = p->C_GenerateKey(session, &generation, template, 5, &keys[i]);
        say("C_GenerateKey", rv);
    }
    CK_ATTRIBUTE by_label[] = { { CKA_LABEL, "compat find 0", 13 }, { CKA_ID, id, 2 },
                                { CKA_CLASS, &secret_class, sizeof secret_class },
                                { CKA_KEY_TYPE, &aes_type, sizeof aes_type }, { CKA_TOKEN, &yes, 1 } };
    id[1] = 0;
    for (CK_ULONG count = 1; count <= 5; count++)
        found(session, "found", by_label, count);
    by_label[4].pValue = &no;
    found(session, "found of the session", by_label, 5);
    by_label[3].pValue = &rsa_type;
    found(session, "found of another type", by_label, 4);
    CK_ATTRIBUTE nobody[] = { { CKA_LABEL, "compat nobody", 13 } };
    found(session, "found of no label", nobody, 1);
    say("C_FindObjects without C_FindObjectsInit",
        p->C_FindObjects(session, keys, 1, &(CK_ULONG){ 0 }));
    say("C_FindObjectsFinal without C_FindObjectsInit", p->C_FindObjectsFinal(session));
    p->C_FindObjectsInit(session, nobody, 1);
    say("C_FindObjectsInit while one is active", p->C_FindObjectsInit(session, nobody, 1));
    p->C_FindObjectsFinal(session);

    CK_SESSION_HANDLE other = opened();
    found(other, "found in another session", by_label, 1);
    CK_ATTRIBUTE relabel[] = { { CKA_LABEL, "compat found", 12 } };
    say("C_SetAttributeValue of a label", p->C_SetAttributeValue(other, keys[0], relabel, 1));
    found(session, "found by the new label", relabel, 1);
    CK_OBJECT_HANDLE copy = 0;
    CK_ATTRIBUTE of_copy[] = { { CKA_LABEL, "compat copy", 11 }, { CKA_TOKEN, &no, 1 } };
    say("C_CopyObject", p->C_CopyObject(other, keys[0], of_copy, 2, &copy));
    found(session, "found the copy", of_copy, 1);
    p->C_CloseSession(other);
    found(session, "found the copy when its session is closed", of_copy, 1);
    say("C_SetAttributeValue of a class",
        p->C_SetAttributeValue(session, keys[0], &by_label[2], 1) == CKR_OK ? CKR_OK : CKR_ATTRIBUTE_READ_ONLY);
    for (int i = 0; i < 7; i++)
        say("C_DestroyObject", p->C_DestroyObject(session, keys[i]));
    say("C_GetAttributeValue of what is gone", p->C_GetAttributeValue(session, keys[0], relabel, 1));
}

/* ---- threads ------------------------------------------------------------------------------------------------------- */

static CK_OBJECT_HANDLE shared;

static void *thread(void *number)
{
    CK_SESSION_HANDLE session = opened();
    CK_BYTE data[40], out[64], again[64];
    CK_MECHANISM hmac = { CKM_SHA256_HMAC, NULL, 0 };
    memset(data, (int)(size_t)number, sizeof data);
    for (int i = 0; i < 20; i++) {
        CK_ULONG len = sizeof out, again_len = sizeof again;
        CK_RV rv = p->C_SignInit(session, &hmac, shared);
        if (rv == CKR_OK)
            rv = p->C_Sign(session, data, sizeof data, out, &len);
        if (rv == CKR_OK)
            rv = p->C_SignInit(session, &hmac, shared);
        if (rv == CKR_OK)
            rv = p->C_Sign(session, data, sizeof data, again, &again_len);
        if (rv != CKR_OK || len != again_len || memcmp(out, again, len))
            fault("a thread's MAC", rv);
    }
    p->C_CloseSession(session);
    return NULL;
}

static void threads(CK_SESSION_HANDLE session, int count)
{
    CK_BYTE value[32] = { 1 };
    shared = secret(session, &generic_type, value, 32, "compat threads");
    pthread_t *all = calloc((size_t)count, sizeof *all);
    for (int i = 0; i < count; i++)
        if (pthread_create(&all[i], NULL, thread, (void *)(size_t)i))
            fault("pthread_create", 0);
    for (int i = 0; i < count; i++)
        pthread_join(all[i], NULL);
    free(all);
    p->C_DestroyObject(session, shared);
    printf("threads are done\n");
}

int main(int count, char **words)
{
    if (count < 3) {
        fprintf(stderr, "usage: %s MODULE PIN [threads]\n", words[0]);
        return 2;
    }
    pin = words[2];
    void *module = dlopen(words[1], RTLD_NOW | RTLD_LOCAL);
    if (!module) {
        fprintf(stderr, "%s\n", dlerror());
        return 2;
    }
    CK_C_GetFunctionList list;
    *(void **)&list = dlsym(module, "C_GetFunctionList");
    if (!list || list(&p) != CKR_OK) {
        fprintf(stderr, "no function list\n");
        return 2;
    }
    say("C_GetFunctionList(NULL)", list(NULL));
    general();
    sessions();
    CK_SESSION_HANDLE session = opened();
    digests(session);
    CK_OBJECT_HANDLE key;
    CK_MECHANISM generation = { CKM_AES_KEY_GEN, NULL, 0 };
    CK_ULONG len = 32;
    CK_ATTRIBUTE template[] = { { CKA_TOKEN, &no, 1 }, { CKA_VALUE_LEN, &len, sizeof len } };
    say("C_GenerateKey without a login", p->C_GenerateKey(session, &generation, template, 2, &key));
    say("C_Login", p->C_Login(session, CKU_USER, (CK_UTF8CHAR_PTR)pin, strlen(pin)));
    ciphers(session);
    macs(session);
    rsa(session);
    ec(session);
    finding(session);
    threads(session, count > 3 ? atoi(words[3]) : 8);
    CK_BYTE random[64] = { 0 };
    say("C_GenerateRandom", p->C_GenerateRandom(session, random, sizeof random));
    say("C_GenerateRandom(NULL)", p->C_GenerateRandom(session, NULL, 8));
    say("C_Logout", p->C_Logout(session));
    say("C_CloseSession", p->C_CloseSession(session));
    say("C_Finalize with a reserved pointer", p->C_Finalize(&list));
    say("C_Finalize", p->C_Finalize(NULL));
    say("C_Finalize again", p->C_Finalize(NULL));
    return 0;
}
