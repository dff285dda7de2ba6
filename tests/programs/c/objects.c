/* Stories about objects, told to Strongroom's PKCS #11 library: objects MODULE PIN STORY.
 *
 * Every answer is checked here; the first that is not the expected one ends the program with 1 and its line. What others
 * have to look at is printed as "name value" with bytes in hexadecimal. A line that reads "wait" asks whoever runs the program
 * to do something and to answer with a line.
 */
#define _DEFAULT_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cryptoki.h"
#include "cloudhsm_pkcs11_vendor_defs.h"

#include "keys.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define IS(expected, call) check(__LINE__, #call, (expected), (call))
#define HOLDS(condition) holds(__LINE__, #condition, (condition))
#define OK(call) IS(CKR_OK, call)

static CK_FUNCTION_LIST_PTR p;
static CK_SLOT_ID slot;
static const char *pin;
static CK_SESSION_HANDLE s;

static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
static CK_OBJECT_CLASS secret = CKO_SECRET_KEY, private = CKO_PRIVATE_KEY, public = CKO_PUBLIC_KEY;
static CK_KEY_TYPE aes = CKK_AES, generic = CKK_GENERIC_SECRET, rsa = CKK_RSA, ec = CKK_EC;
static CK_ULONG len16 = 16, len32 = 32, bits2048 = 2048;
static CK_BYTE e65537[] = { 1, 0, 1 };
static CK_BYTE p256[] = { 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07 };
static CK_BYTE brainpool[] = { 0x06, 0x09, 0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x07 };

static void check(int line, const char *what, CK_RV expected, CK_RV rv)
{
    if (rv != expected) {
        printf("line %d: %s: 0x%lx, expected 0x%lx\n", line, what, (unsigned long)rv, (unsigned long)expected);
        exit(1);
    }
}

static void holds(int line, const char *what, int condition)
{
    if (!condition) {
        printf("line %d: not so: %s\n", line, what);
        exit(1);
    }
}

static void print(const char *name, const CK_BYTE *bytes, CK_ULONG len)
{
    printf("%s ", name);
    for (CK_ULONG i = 0; i < len; i++)
        printf("%02x", bytes[i]);
    printf("\n");
}

static void wait_for(const char *what)
{
    char line[16];
    printf("wait %s\n", what);
    fflush(stdout);
    HOLDS(fgets(line, sizeof line, stdin) != NULL);
}

static CK_SESSION_HANDLE open_session(void)
{
    CK_SESSION_HANDLE session;
    OK(p->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session));
    return session;
}

static void login(void)
{
    OK(p->C_Login(s, CKU_USER, (CK_UTF8CHAR_PTR)pin, strlen(pin)));
}

static CK_OBJECT_HANDLE make(CK_MECHANISM_TYPE type, CK_ATTRIBUTE *template, CK_ULONG count)
{
    CK_MECHANISM mechanism = { type, NULL, 0 };
    CK_OBJECT_HANDLE key = 0;
    OK(p->C_GenerateKey(s, &mechanism, template, count, &key));
    HOLDS(key != 0);
    return key;
}

static CK_OBJECT_HANDLE make_aes(const char *label, CK_BBOOL *token)
{
    CK_ATTRIBUTE template[] = {
        { CKA_TOKEN, token, 1 }, { CKA_VALUE_LEN, &len32, sizeof len32 }, { CKA_LABEL, (void *)label, strlen(label) },
    };
    return make(CKM_AES_KEY_GEN, template, COUNT(template));
}

static CK_RV read_one(CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type, void *to, CK_ULONG *len)
{
    CK_ATTRIBUTE attribute = { type, to, *len };
    CK_RV rv = p->C_GetAttributeValue(s, object, &attribute, 1);
    *len = attribute.ulValueLen;
    return rv;
}

static int flag(CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type)
{
    CK_BBOOL value = 7;
    CK_ULONG len = sizeof value;
    OK(read_one(object, type, &value, &len));
    HOLDS(len == 1 && (value == CK_TRUE || value == CK_FALSE));
    return value;
}

static int same(CK_OBJECT_HANDLE one, CK_OBJECT_HANDLE other, CK_ATTRIBUTE_TYPE type)
{
    CK_BYTE a[1024], b[1024];
    CK_ULONG alen = sizeof a, blen = sizeof b;
    OK(read_one(one, type, a, &alen));
    OK(read_one(other, type, b, &blen));
    return alen == blen && memcmp(a, b, alen) == 0;
}

/* The hits of a search, at most max of them; how many there are in *count. */
static CK_ULONG find(CK_ATTRIBUTE *template, CK_ULONG count, CK_OBJECT_HANDLE *hits, CK_ULONG max)
{
    CK_ULONG found = 0;
    OK(p->C_FindObjectsInit(s, template, count));
    OK(p->C_FindObjects(s, hits, max, &found));
    OK(p->C_FindObjectsFinal(s));
    return found;
}

static CK_ULONG find_one(CK_ATTRIBUTE_TYPE type, void *value, CK_ULONG len, CK_OBJECT_HANDLE *hits)
{
    CK_ATTRIBUTE template[] = { { type, value, len } };
    return find(template, 1, hits, 8);
}

static void make_pair(CK_MECHANISM_TYPE type, CK_ATTRIBUTE *pub, CK_ULONG pubs, CK_ATTRIBUTE *priv, CK_ULONG privs,
                      CK_OBJECT_HANDLE *pub_key, CK_OBJECT_HANDLE *priv_key)
{
    CK_MECHANISM mechanism = { type, NULL, 0 };
    OK(p->C_GenerateKeyPair(s, &mechanism, pub, pubs, priv, privs, pub_key, priv_key));
}

/* What programs ask for when they make keys, and what they are told about them. */
static void attributes(void)
{
    CK_ATTRIBUTE least[] = { { CKA_VALUE_LEN, &len32, sizeof len32 } };
    CK_OBJECT_HANDLE key = make(CKM_AES_KEY_GEN, least, 1);
    HOLDS(!flag(key, CKA_TOKEN) && flag(key, CKA_PRIVATE) && flag(key, CKA_SENSITIVE) && flag(key, CKA_EXTRACTABLE));
    HOLDS(flag(key, CKA_SIGN) && flag(key, CKA_VERIFY) && !flag(key, CKA_ENCRYPT) && !flag(key, CKA_WRAP));
    HOLDS(flag(key, CKA_LOCAL) && flag(key, CKA_ALWAYS_SENSITIVE) && !flag(key, CKA_NEVER_EXTRACTABLE));

    /* One bad attribute does not spoil the rest; a boolean's room may be larger than it. */
    CK_OBJECT_CLASS class = 0;
    CK_ULONG value_len = 0;
    CK_BYTE token[8] = { 9, 9, 9, 9, 9, 9, 9, 9 }, value[64], modulus[8], check_value[2];
    CK_ATTRIBUTE mixed[] = {
        { CKA_CLASS, &class, sizeof class }, { CKA_MODULUS, modulus, sizeof modulus }, { CKA_TOKEN, token, sizeof token },
        { CKA_VALUE, value, sizeof value }, { CKA_LABEL, NULL, 0 }, { CKA_CHECK_VALUE, check_value, sizeof check_value },
        { CKA_VALUE_LEN, &value_len, sizeof value_len },
    };
    IS(CKR_ATTRIBUTE_SENSITIVE, p->C_GetAttributeValue(s, key, mixed, COUNT(mixed)));
    HOLDS(class == CKO_SECRET_KEY && value_len == 32);
    HOLDS(mixed[1].ulValueLen == CK_UNAVAILABLE_INFORMATION && mixed[3].ulValueLen == CK_UNAVAILABLE_INFORMATION);
    HOLDS(mixed[2].ulValueLen == 1 && token[0] == CK_FALSE && token[1] == 9);
    HOLDS(mixed[4].ulValueLen == 0 && mixed[5].ulValueLen == CK_UNAVAILABLE_INFORMATION);
    CK_ULONG len = sizeof modulus;
    IS(CKR_ATTRIBUTE_TYPE_INVALID, read_one(key, CKA_MODULUS, modulus, &len));
    len = sizeof check_value;
    IS(CKR_BUFFER_TOO_SMALL, read_one(key, CKA_CHECK_VALUE, check_value, &len));
    len = 0;
    OK(read_one(key, CKA_CHECK_VALUE, NULL, &len));
    HOLDS(len == 3);
    OK(p->C_GetAttributeValue(s, key, NULL, 0));
    IS(CKR_ARGUMENTS_BAD, p->C_GetAttributeValue(s, key, NULL, 1));

    /* Every number, whatever it means. */
    for (CK_ULONG type = 0; type < 0x700; type++) {
        CK_BYTE room[512];
        len = sizeof room;
        CK_RV rv = read_one(key, type, room, &len);
        HOLDS(rv == CKR_OK || rv == CKR_ATTRIBUTE_TYPE_INVALID || rv == CKR_ATTRIBUTE_SENSITIVE);
        HOLDS((rv == CKR_OK) == (len != CK_UNAVAILABLE_INFORMATION));
    }

    /* Templates that cannot be. */
    CK_MECHANISM aes_gen = { CKM_AES_KEY_GEN, NULL, 0 };
    CK_OBJECT_HANDLE none;
    IS(CKR_TEMPLATE_INCOMPLETE, p->C_GenerateKey(s, &aes_gen, NULL, 0, &none));
    CK_ATTRIBUTE bad[] = { { CKA_VALUE_LEN, &len32, sizeof len32 }, { CKA_LOCAL, &yes, 1 } };
    IS(CKR_ATTRIBUTE_READ_ONLY, p->C_GenerateKey(s, &aes_gen, bad, 2, &none));
    bad[1] = (CK_ATTRIBUTE){ CKA_TRUSTED, &yes, 1 };
    IS(CKR_ATTRIBUTE_READ_ONLY, p->C_GenerateKey(s, &aes_gen, bad, 2, &none));
    bad[1] = (CK_ATTRIBUTE){ CKA_PRIVATE, &no, 1 };
    IS(CKR_ATTRIBUTE_VALUE_INVALID, p->C_GenerateKey(s, &aes_gen, bad, 2, &none));
    bad[1] = (CK_ATTRIBUTE){ CKA_MODULUS, modulus, sizeof modulus };
    IS(CKR_TEMPLATE_INCONSISTENT, p->C_GenerateKey(s, &aes_gen, bad, 2, &none));
    bad[1] = (CK_ATTRIBUTE){ CKA_LABEL, "\xff\xfe", 2 };
    IS(CKR_ATTRIBUTE_VALUE_INVALID, p->C_GenerateKey(s, &aes_gen, bad, 2, &none));
    bad[1] = (CK_ATTRIBUTE){ CKA_LABEL, NULL, 4 };
    IS(CKR_ATTRIBUTE_VALUE_INVALID, p->C_GenerateKey(s, &aes_gen, bad, 2, &none));
    CK_ULONG len17 = 17;
    bad[0] = (CK_ATTRIBUTE){ CKA_VALUE_LEN, &len17, sizeof len17 };
    IS(CKR_KEY_SIZE_RANGE, p->C_GenerateKey(s, &aes_gen, bad, 1, &none));
    CK_MECHANISM ec_gen = { CKM_EC_KEY_PAIR_GEN, NULL, 0 };
    CK_ATTRIBUTE curve[] = { { CKA_EC_PARAMS, brainpool, sizeof brainpool } };
    IS(CKR_CURVE_NOT_SUPPORTED, p->C_GenerateKeyPair(s, &ec_gen, curve, 1, NULL, 0, &none, &none));
    CK_MECHANISM signing = { CKM_SHA256, NULL, 0 };
    IS(CKR_MECHANISM_INVALID, p->C_GenerateKey(s, &signing, least, 1, &none));
    IS(CKR_ARGUMENTS_BAD, p->C_GenerateKey(s, NULL, least, 1, &none));
    IS(CKR_ARGUMENTS_BAD, p->C_GenerateKey(s, &aes_gen, least, 1, NULL));

    /* Numbers and booleans of other sizes. */
    unsigned int small = 16;
    CK_ULONG wide_yes = CK_TRUE;
    CK_ATTRIBUTE loose[] = { { CKA_VALUE_LEN, &small, sizeof small }, { CKA_ENCRYPT, &wide_yes, sizeof wide_yes } };
    key = make(CKM_AES_KEY_GEN, loose, 2);
    HOLDS(flag(key, CKA_ENCRYPT));

    /* Changed, each attribute by itself. */
    key = make_aes("before", &yes);
    CK_ATTRIBUTE change[] = { { CKA_LABEL, "after", 5 }, { CKA_ID, "\1\2", 2 }, { CKA_ENCRYPT, &yes, 1 } };
    OK(p->C_SetAttributeValue(s, key, change, 3));
    CK_BYTE label[8];
    len = sizeof label;
    OK(read_one(key, CKA_LABEL, label, &len));
    HOLDS(len == 5 && memcmp(label, "after", 5) == 0 && flag(key, CKA_ENCRYPT));
    CK_OBJECT_HANDLE hits[8];
    HOLDS(find_one(CKA_ID, "\1\2", 2, hits) == 1 && hits[0] == key);
    change[0] = (CK_ATTRIBUTE){ CKA_CLASS, &secret, sizeof secret };
    IS(CKR_ATTRIBUTE_READ_ONLY, p->C_SetAttributeValue(s, key, change, 1));
    change[0] = (CK_ATTRIBUTE){ CKA_TRUSTED, &yes, 1 };
    HOLDS(p->C_SetAttributeValue(s, key, change, 1) != CKR_OK);

    /* Destroyed, and gone for everything. */
    OK(p->C_DestroyObject(s, key));
    IS(CKR_OBJECT_HANDLE_INVALID, p->C_DestroyObject(s, key));
    len = sizeof label;
    IS(CKR_OBJECT_HANDLE_INVALID, read_one(key, CKA_LABEL, label, &len));
    IS(CKR_OBJECT_HANDLE_INVALID, p->C_SetAttributeValue(s, key, change, 1));
    IS(CKR_OBJECT_HANDLE_INVALID, p->C_DestroyObject(s, 0));
    IS(CKR_FUNCTION_NOT_SUPPORTED, p->C_GetObjectSize(s, key, &len));

    /* A session that only reads. */
    CK_SESSION_HANDLE reader;
    OK(p->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &reader));
    CK_ATTRIBUTE of_token[] = { { CKA_VALUE_LEN, &len32, sizeof len32 }, { CKA_TOKEN, &yes, 1 } };
    IS(CKR_SESSION_READ_ONLY, p->C_GenerateKey(reader, &aes_gen, of_token, 2, &none));
    OK(p->C_GenerateKey(reader, &aes_gen, of_token, 1, &none));
    OK(p->C_DestroyObject(reader, none));
    key = make_aes("kept", &yes);
    IS(CKR_SESSION_READ_ONLY, p->C_DestroyObject(reader, key));
    change[0] = (CK_ATTRIBUTE){ CKA_LABEL, "new", 3 };
    IS(CKR_SESSION_READ_ONLY, p->C_SetAttributeValue(reader, key, change, 1));
    OK(p->C_DestroyObject(s, key));
}

/* By one attribute and by several, in batches, without a buffer, and what finds nothing. */
static void searches(void)
{
    CK_OBJECT_HANDLE hits[64], one, rsa_pub, rsa_priv, ec_pub, ec_priv;
    CK_ULONG n;
    CK_BYTE id[] = { 0, 1, 2 };
    HOLDS(find(NULL, 0, hits, 64) == 0);
    CK_OBJECT_HANDLE keys[5];
    for (int i = 0; i < 5; i++)
        keys[i] = make_aes(i < 2 ? "pair" : "other", i == 4 ? &no : &yes);
    CK_ATTRIBUTE pub[] = { { CKA_TOKEN, &yes, 1 }, { CKA_MODULUS_BITS, &bits2048, sizeof bits2048 },
                           { CKA_PUBLIC_EXPONENT, e65537, sizeof e65537 }, { CKA_VERIFY, &yes, 1 },
                           { CKA_ID, id, sizeof id }, { CKA_PRIVATE, &no, 1 } };
    CK_ATTRIBUTE priv[] = { { CKA_TOKEN, &yes, 1 }, { CKA_SIGN, &yes, 1 }, { CKA_ID, id, sizeof id } };
    make_pair(CKM_RSA_X9_31_KEY_PAIR_GEN, pub, COUNT(pub), priv, COUNT(priv), &rsa_pub, &rsa_priv);
    HOLDS(!flag(rsa_pub, CKA_PRIVATE) && flag(rsa_priv, CKA_PRIVATE) && flag(rsa_priv, CKA_SIGN));
    CK_ATTRIBUTE ec_template[] = { { CKA_EC_PARAMS, p256, sizeof p256 } };
    make_pair(CKM_EC_KEY_PAIR_GEN, ec_template, 1, NULL, 0, &ec_pub, &ec_priv);

    HOLDS(find(NULL, 0, hits, 64) == 9);
    HOLDS(find_one(CKA_LABEL, "pair", 4, hits) == 2);
    HOLDS(hits[0] != hits[1] && (hits[0] == keys[0] || hits[1] == keys[0]) && (hits[0] == keys[1] || hits[1] == keys[1]));
    HOLDS(find_one(CKA_LABEL, "pai", 3, hits) == 0 && find_one(CKA_LABEL, "\xff", 1, hits) == 0);
    HOLDS(find_one(CKA_CLASS, &secret, sizeof secret, hits) == 5);
    HOLDS(find_one(CKA_KEY_TYPE, &rsa, sizeof rsa, hits) == 2);
    HOLDS(find_one(CKA_ID, id, sizeof id, hits) == 2);
    CK_ATTRIBUTE both[] = { { CKA_CLASS, &private, sizeof private }, { CKA_ID, id, sizeof id } };
    HOLDS(find(both, 2, &one, 1) == 1 && one == rsa_priv);
    HOLDS(find_one(CKA_TOKEN, &no, 1, hits) == 3);
    CK_KEY_TYPE dsa = CKK_DSA;
    CK_OBJECT_CLASS data = CKO_DATA;
    HOLDS(find_one(CKA_KEY_TYPE, &dsa, sizeof dsa, hits) == 0 && find_one(CKA_CLASS, &data, sizeof data, hits) == 0);
    HOLDS(find_one(CKA_SUBJECT, "x", 1, hits) == 0 && find_one(0x80001234, "x", 1, hits) == 0);

    /* Keys that lack an attribute are not among those for which it is false; a value that none can have finds none. */
    HOLDS(find_one(CKA_EXTRACTABLE, &no, 1, hits) == 0 && find_one(CKA_SIGN_RECOVER, &yes, 1, hits) == 0);
    HOLDS(find_one(CKA_SIGN_RECOVER, &no, 1, hits) == 1 && hits[0] == rsa_priv);
    HOLDS(find_one(CKA_TOKEN, "", 0, hits) == 0 && find_one(CKA_CLASS, "x", 1, hits) == 0);
    HOLDS(find_one(CKA_MODULUS_BITS, &bits2048, sizeof bits2048, hits) == 1 && hits[0] == rsa_pub);

    /* By the public part, of both halves. */
    CK_BYTE modulus[512], point[80];
    n = sizeof modulus;
    OK(read_one(rsa_pub, CKA_MODULUS, modulus, &n));
    CK_ATTRIBUTE by_modulus[] = { { CKA_CLASS, &public, sizeof public }, { CKA_MODULUS, modulus, n } };
    HOLDS(n == 256 && find(by_modulus, 2, &one, 1) == 1 && one == rsa_pub);
    by_modulus[0].pValue = &private;
    HOLDS(find(by_modulus, 2, &one, 1) == 1 && one == rsa_priv);
    n = sizeof point;
    OK(read_one(ec_pub, CKA_EC_POINT, point, &n));
    HOLDS(n == 67 && point[0] == 4 && point[1] == 65 && point[2] == 4);
    HOLDS(find_one(CKA_EC_POINT, point, n, hits) == 2 && find_one(CKA_EC_POINT, point + 2, n - 2, hits) == 2);
    HOLDS(find_one(CKA_EC_PARAMS, p256, sizeof p256, hits) == 2);

    /* Without a buffer nothing is used up. */
    CK_ATTRIBUTE by_class[] = { { CKA_CLASS, &secret, sizeof secret } };
    IS(CKR_OPERATION_NOT_INITIALIZED, p->C_FindObjects(s, hits, 1, &n));
    OK(p->C_FindObjectsInit(s, by_class, 1));
    IS(CKR_OPERATION_ACTIVE, p->C_FindObjectsInit(s, by_class, 1));
    OK(p->C_FindObjects(s, NULL, 4, &n));
    HOLDS(n == 4);
    OK(p->C_FindObjects(s, NULL, 100, &n));
    HOLDS(n == 5);
    CK_ULONG total = 0;
    do {
        OK(p->C_FindObjects(s, hits, 2, &n));
        total += n;
    } while (n > 0);
    HOLDS(total == 5);
    OK(p->C_FindObjectsFinal(s));
    IS(CKR_OPERATION_NOT_INITIALIZED, p->C_FindObjectsFinal(s));

    /* Handles end with the login; nobody who is not logged in sees a key. */
    OK(p->C_Logout(s));
    HOLDS(find(NULL, 0, hits, 64) == 0);
    n = 0;
    IS(CKR_OBJECT_HANDLE_INVALID, read_one(keys[0], CKA_LABEL, NULL, &n));
    IS(CKR_USER_NOT_LOGGED_IN, p->C_GenerateKey(s, &(CK_MECHANISM){ CKM_AES_KEY_GEN, NULL, 0 }, NULL, 0, &one));
    login();
    HOLDS(find(NULL, 0, hits, 64) == 6);
    for (int i = 0; i < 6; i++)
        OK(p->C_DestroyObject(s, hits[i]));
    HOLDS(find(NULL, 0, hits, 64) == 0);
}

/* From the session to the token and back, and what a copy may differ in. */
static void copies(void)
{
    CK_OBJECT_HANDLE pub, priv, copy, other;
    CK_ATTRIBUTE curve[] = { { CKA_EC_PARAMS, p256, sizeof p256 }, { CKA_VERIFY, &yes, 1 } };
    CK_ATTRIBUTE signs[] = { { CKA_SIGN, &yes, 1 } };
    make_pair(CKM_EC_KEY_PAIR_GEN, curve, 2, signs, 1, &pub, &priv);
    CK_ATTRIBUTE stays[] = { { CKA_TOKEN, &yes, 1 }, { CKA_ID, "mykey", 5 } };
    OK(p->C_CopyObject(s, priv, stays, 2, &copy));
    HOLDS(copy != priv && flag(copy, CKA_TOKEN) && !flag(priv, CKA_TOKEN) && flag(copy, CKA_SIGN) && flag(copy, CKA_LOCAL));
    HOLDS(same(copy, priv, CKA_CHECK_VALUE) && same(copy, priv, CKA_EC_PARAMS));
    OK(p->C_DestroyObject(s, priv));
    CK_ATTRIBUTE leaves[] = { { CKA_TOKEN, &no, 1 }, { CKA_EXTRACTABLE, &no, 1 }, { CKA_LABEL, "loose", 5 } };
    OK(p->C_CopyObject(s, copy, leaves, 3, &other));
    HOLDS(!flag(other, CKA_TOKEN) && !flag(other, CKA_EXTRACTABLE) && !flag(other, CKA_NEVER_EXTRACTABLE));
    CK_ATTRIBUTE back[] = { { CKA_EXTRACTABLE, &yes, 1 } };
    HOLDS(p->C_CopyObject(s, other, back, 1, &priv) != CKR_OK);
    CK_ATTRIBUTE class[] = { { CKA_CLASS, &public, sizeof public } };
    IS(CKR_ATTRIBUTE_READ_ONLY, p->C_CopyObject(s, other, class, 1, &priv));
    IS(CKR_OBJECT_HANDLE_INVALID, p->C_CopyObject(s, 4711, NULL, 0, &priv));
    OK(p->C_DestroyObject(s, copy));

    /* A session key is changed under its handle, and may be changed into one of the token. */
    CK_BYTE label[8];
    CK_ULONG len = sizeof label;
    CK_ATTRIBUTE change[] = { { CKA_LABEL, "changed", 7 }, { CKA_ID, "\5", 1 }, { CKA_SIGN, &no, 1 } };
    OK(p->C_SetAttributeValue(s, other, change, 3));
    OK(read_one(other, CKA_LABEL, label, &len));
    HOLDS(len == 7 && memcmp(label, "changed", 7) == 0 && !flag(other, CKA_SIGN) && !flag(other, CKA_TOKEN));
    CK_OBJECT_HANDLE hits[8];
    HOLDS(find_one(CKA_LABEL, "loose", 5, hits) == 0 && find_one(CKA_ID, "\5", 1, hits) == 1 && hits[0] == other);
    change[0] = (CK_ATTRIBUTE){ CKA_TOKEN, &yes, 1 };
    OK(p->C_SetAttributeValue(s, other, change, 1));
    HOLDS(flag(other, CKA_TOKEN) && find_one(CKA_ID, "\5", 1, hits) == 1 && hits[0] == other);
    OK(p->C_DestroyObject(s, other));

    /* One half of a pair outlives the session. */
    CK_ATTRIBUTE token_signs[] = { { CKA_SIGN, &yes, 1 }, { CKA_TOKEN, &yes, 1 } };
    make_pair(CKM_EC_KEY_PAIR_GEN, curve, 2, token_signs, 2, &pub, &priv);
    HOLDS(!flag(pub, CKA_TOKEN) && flag(priv, CKA_TOKEN) && same(pub, priv, CKA_CHECK_VALUE));
    OK(p->C_DestroyObject(s, priv));
}

/* Session keys die with the session that made them, and with nothing else. */
static void sessions(void)
{
    CK_SESSION_HANDLE first = s, second = open_session();
    CK_OBJECT_HANDLE hits[8], key = make_aes("of the first", &no);
    s = second;
    CK_OBJECT_HANDLE own = make_aes("of the second", &no);
    HOLDS(find_one(CKA_LABEL, "of the first", 12, hits) == 1 && hits[0] == key);
    HOLDS(!flag(key, CKA_TOKEN));
    wait_for("kill");
    HOLDS(flag(key, CKA_SIGN));
    CK_ATTRIBUTE new[] = { { CKA_LABEL, "a copy", 6 } };
    CK_OBJECT_HANDLE copy;
    OK(p->C_CopyObject(s, key, new, 1, &copy));
    HOLDS(same(key, copy, CKA_CHECK_VALUE));
    OK(p->C_CloseSession(first));
    CK_ULONG len = 0;
    IS(CKR_OBJECT_HANDLE_INVALID, read_one(key, CKA_LABEL, NULL, &len));
    CK_MECHANISM ecdsa = { CKM_ECDSA, NULL, 0 };
    IS(CKR_KEY_HANDLE_INVALID, p->C_SignInit(s, &ecdsa, key));
    HOLDS(find_one(CKA_LABEL, "of the first", 12, hits) == 0);
    HOLDS(flag(own, CKA_SIGN) && flag(copy, CKA_SIGN));
    OK(p->C_CloseAllSessions(slot));
    s = open_session();
    login();
    HOLDS(find_one(CKA_LABEL, "a copy", 6, hits) == 0 && find_one(CKA_LABEL, "of the second", 13, hits) == 0);
}

static CK_OBJECT_HANDLE make_lasting(CK_BBOOL *token)
{
    CK_ATTRIBUTE template[] = {
        { CKA_TOKEN, token, 1 }, { CKA_VALUE_LEN, &len32, sizeof len32 }, { CKA_DESTROYABLE, &no, 1 },
    };
    return make(CKM_AES_KEY_GEN, template, COUNT(template));
}

/* Keys that nobody may destroy end with their session as others do, and keep no other from its end. */
static void endings(void)
{
    CK_SESSION_HANDLE first = s, second = open_session();
    CK_OBJECT_HANDLE hits[8], lasting;
    s = second;
    lasting = make_lasting(&no);
    IS(CKR_ACTION_PROHIBITED, p->C_DestroyObject(s, lasting));
    for (int i = 0; i < 4; i++) {
        make_aes("passing", &no);
        make_lasting(&no);
    }
    s = first;
    OK(p->C_CloseSession(second));
    HOLDS(find_one(CKA_TOKEN, &no, 1, hits) == 0);

    /* So do they when no HSM answers. */
    s = second = open_session();
    for (int i = 0; i < 4; i++)
        make_aes("passing", &no);
    s = first;
    wait_for("kill");
    OK(p->C_CloseSession(second));
    wait_for("count");
}

/* Changes of a session key leave nothing of it as it was, and such as say nothing leave it alone. */
static CK_BYTE letter[] = { 'a', 'b', 'c', 'd' };
static CK_OBJECT_HANDLE changing;

static void *change_often(void *to)
{
    CK_SESSION_HANDLE session = open_session();
    CK_ATTRIBUTE label[] = { { CKA_LABEL, to, 1 } };
    for (int i = 0; i < 10; i++)
        OK(p->C_SetAttributeValue(session, changing, label, 1));
    OK(p->C_CloseSession(session));
    return NULL;
}

static void changes(void)
{
    CK_OBJECT_HANDLE hits[8], pub, priv;
    CK_ATTRIBUTE renamed[] = { { CKA_LABEL, "renamed", 7 } };
    pthread_t threads[COUNT(letter)];
    changing = make_lasting(&no);
    CK_MECHANISM hmac = { CKM_SHA256_HMAC, NULL, 0 };
    CK_BYTE mac[32];
    CK_ULONG len = sizeof mac;
    OK(p->C_SignInit(s, &hmac, changing));
    OK(p->C_SetAttributeValue(s, changing, NULL, 0));
    OK(p->C_Sign(s, mac, 1, mac, &len));
    OK(p->C_SetAttributeValue(s, changing, renamed, 1));
    HOLDS(find_one(CKA_TOKEN, &no, 1, hits) == 1 && hits[0] == changing);

    for (size_t i = 0; i < COUNT(letter); i++)
        HOLDS(pthread_create(&threads[i], NULL, change_often, &letter[i]) == 0);
    for (size_t i = 0; i < COUNT(letter); i++)
        HOLDS(pthread_join(threads[i], NULL) == 0);
    HOLDS(find_one(CKA_TOKEN, &no, 1, hits) == 1 && hits[0] == changing);

    /* Of the pair that one half of stays, the HSMs had both in the session. */
    CK_ATTRIBUTE curve[] = { { CKA_EC_PARAMS, p256, sizeof p256 }, { CKA_LABEL, "half", 4 } };
    CK_ATTRIBUTE stays[] = { { CKA_TOKEN, &yes, 1 }, { CKA_DESTROYABLE, &no, 1 }, { CKA_LABEL, "half", 4 } };
    make_pair(CKM_EC_KEY_PAIR_GEN, curve, 2, stays, 3, &pub, &priv);
    HOLDS(find_one(CKA_LABEL, "half", 4, hits) == 2 && flag(priv, CKA_TOKEN) && !flag(pub, CKA_TOKEN));
}

/* A pair that is being made while its session is closed is there as a whole, or not at all. */
static pthread_barrier_t begins;

static void *make_half(void *session)
{
    CK_MECHANISM mechanism = { CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, 0 };
    CK_ATTRIBUTE pub[] = { { CKA_MODULUS_BITS, &bits2048, sizeof bits2048 },
                           { CKA_PUBLIC_EXPONENT, e65537, sizeof e65537 } };
    CK_ATTRIBUTE stays[] = { { CKA_TOKEN, &yes, 1 }, { CKA_LABEL, "half", 4 } };
    CK_OBJECT_HANDLE keys[2];
    pthread_barrier_wait(&begins);
    CK_RV rv = p->C_GenerateKeyPair(*(CK_SESSION_HANDLE *)session, &mechanism, pub, 2, stays, 2, &keys[0], &keys[1]);
    return (void *)rv;
}

static void halves(void)
{
    CK_OBJECT_HANDLE hits[8];
    CK_ULONG made = 0, cut_short = 0;
    HOLDS(pthread_barrier_init(&begins, NULL, 2) == 0);
    for (int i = 0; i < 40 && cut_short < 2 && made < 8; i++) {
        CK_SESSION_HANDLE session = open_session();
        pthread_t thread;
        void *rv;
        HOLDS(pthread_create(&thread, NULL, make_half, &session) == 0);
        pthread_barrier_wait(&begins);
        /* Long enough for the call to begin, and shorter than it takes to make an RSA key. */
        find_one(CKA_LABEL, "half", 4, hits);
        OK(p->C_CloseSession(session));
        HOLDS(pthread_join(thread, &rv) == 0);
        made += (CK_RV)rv == CKR_OK;
        cut_short += (CK_RV)rv == CKR_SESSION_CLOSED;
        HOLDS((CK_RV)rv == CKR_OK || (CK_RV)rv == CKR_SESSION_CLOSED || (CK_RV)rv == CKR_SESSION_HANDLE_INVALID);
    }
    HOLDS(cut_short > 0 && find_one(CKA_TOKEN, &no, 1, hits) == 0);
    HOLDS(find_one(CKA_LABEL, "half", 4, hits) == made);
}

static CK_BYTE a6[8] = { 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6 };

/* Wraps: the size first, too little room, then all; the result's length is the size that was told. */
static CK_ULONG wrap(CK_MECHANISM *mechanism, CK_OBJECT_HANDLE under, CK_OBJECT_HANDLE key, CK_BYTE *to, CK_ULONG room)
{
    CK_ULONG told = 0, len = 1;
    OK(p->C_WrapKey(s, mechanism, under, key, NULL, &told));
    IS(CKR_BUFFER_TOO_SMALL, p->C_WrapKey(s, mechanism, under, key, to, &len));
    HOLDS(len == told && told <= room);
    len = room;
    OK(p->C_WrapKey(s, mechanism, under, key, to, &len));
    HOLDS(len == told);
    return len;
}

static CK_RV unwrap(CK_MECHANISM *mechanism, CK_OBJECT_HANDLE under, CK_BYTE *from, CK_ULONG len, CK_OBJECT_CLASS *class,
                    CK_KEY_TYPE *type, CK_OBJECT_HANDLE *key)
{
    CK_ATTRIBUTE template[] = { { CKA_CLASS, class, sizeof *class }, { CKA_KEY_TYPE, type, sizeof *type } };
    return p->C_UnwrapKey(s, mechanism, under, from, len, template, 2, key);
}

/* There and back: the key is the same. */
static void round_trip(CK_MECHANISM *mechanism, CK_OBJECT_HANDLE under, CK_OBJECT_HANDLE opener, CK_OBJECT_HANDLE key,
                       CK_OBJECT_CLASS *class, CK_KEY_TYPE *type)
{
    CK_BYTE wrapped[4096];
    CK_OBJECT_HANDLE again;
    CK_ULONG len = wrap(mechanism, under, key, wrapped, sizeof wrapped);
    OK(unwrap(mechanism, opener, wrapped, len, class, type, &again));
    HOLDS(again != key && !flag(again, CKA_LOCAL) && !flag(again, CKA_TOKEN) && same(again, key, CKA_KEY_TYPE));
    if (*type != CKK_GENERIC_SECRET)
        HOLDS(same(again, key, CKA_CHECK_VALUE));
    /* The last byte belongs to it. */
    wrapped[len - 1] ^= 1;
    HOLDS(unwrap(mechanism, opener, wrapped, len, class, type, &again) != CKR_OK);
    OK(p->C_DestroyObject(s, again));
}

static CK_OBJECT_HANDLE make_wrapper(CK_ATTRIBUTE_TYPE template, CK_ATTRIBUTE *entries, CK_ULONG count, const char *label)
{
    CK_ATTRIBUTE wrapper[] = {
        { CKA_VALUE_LEN, &len32, sizeof len32 }, { CKA_WRAP, &yes, 1 }, { CKA_UNWRAP, &yes, 1 }, { CKA_TOKEN, &yes, 1 },
        { CKA_LABEL, (void *)label, strlen(label) }, { CKA_EXTRACTABLE, &no, 1 },
        { template, entries, count * sizeof *entries },
    };
    return make(CKM_AES_KEY_GEN, wrapper, count > 0 ? COUNT(wrapper) : COUNT(wrapper) - 1);
}

/* Every mechanism that wraps, for every kind of key that it takes. */
static void wraps(void)
{
    CK_OBJECT_HANDLE rsa_pub, rsa_priv, ec_pub, ec_priv, opener_pub, opener, under = make_wrapper(0, NULL, 0, "wraps");
    CK_ATTRIBUTE rsa_template[] = { { CKA_MODULUS_BITS, &bits2048, sizeof bits2048 },
                                    { CKA_PUBLIC_EXPONENT, e65537, sizeof e65537 }, { CKA_WRAP, &yes, 1 } };
    CK_ATTRIBUTE opens[] = { { CKA_UNWRAP, &yes, 1 } }, curve[] = { { CKA_EC_PARAMS, p256, sizeof p256 } };
    make_pair(CKM_RSA_PKCS_KEY_PAIR_GEN, rsa_template, 2, NULL, 0, &rsa_pub, &rsa_priv);
    make_pair(CKM_RSA_PKCS_KEY_PAIR_GEN, rsa_template, 3, opens, 1, &opener_pub, &opener);
    make_pair(CKM_EC_KEY_PAIR_GEN, curve, 1, NULL, 0, &ec_pub, &ec_priv);
    CK_ULONG len20 = 20;
    CK_ATTRIBUTE odd[] = { { CKA_VALUE_LEN, &len20, sizeof len20 } };
    CK_OBJECT_HANDLE secret_key = make_aes("payload", &no), odd_key = make(CKM_GENERIC_SECRET_KEY_GEN, odd, 1);

    CK_BYTE iv[12] = { 1, 2, 3 }, block[16] = { 0 }, aad[] = "aad";
    CK_GCM_PARAMS gcm_params = { iv, sizeof iv, 0, aad, 3, 128 }, inner_params = { NULL, 0, 0, aad, 3, 96 };
    CK_RSA_PKCS_OAEP_PARAMS oaep_params = { CKM_SHA256, CKG_MGF1_SHA256, 0, NULL, 0 };
    CK_RSA_AES_KEY_WRAP_PARAMS rsa_aes_params = { 256, &oaep_params };
    CK_MECHANISM gcm = { CKM_AES_GCM, &gcm_params, sizeof gcm_params },
                 inner = { CKM_CLOUDHSM_AES_GCM, &inner_params, sizeof inner_params },
                 no_pad = { CKM_CLOUDHSM_AES_KEY_WRAP_NO_PAD, a6, sizeof a6 },
                 pkcs5 = { CKM_CLOUDHSM_AES_KEY_WRAP_PKCS5_PAD, NULL, 0 },
                 zero_pad = { CKM_CLOUDHSM_AES_KEY_WRAP_ZERO_PAD, NULL, 0 },
                 oaep = { CKM_RSA_PKCS_OAEP, &oaep_params, sizeof oaep_params },
                 rsa_aes = { CKM_RSA_AES_KEY_WRAP, &rsa_aes_params, sizeof rsa_aes_params },
                 cbc_pad = { CKM_AES_CBC_PAD, block, sizeof block };
    CK_MECHANISM *any[] = { &gcm, &inner, &pkcs5, &zero_pad };
    for (size_t i = 0; i < COUNT(any); i++) {
        round_trip(any[i], under, under, secret_key, &secret, &aes);
        round_trip(any[i], under, under, odd_key, &secret, &generic);
        round_trip(any[i], under, under, rsa_priv, &private, &rsa);
        round_trip(any[i], under, under, ec_priv, &private, &ec);
    }
    round_trip(&no_pad, under, under, secret_key, &secret, &aes);
    round_trip(&oaep, opener_pub, opener, secret_key, &secret, &aes);
    round_trip(&rsa_aes, opener_pub, opener, rsa_priv, &private, &rsa);
    round_trip(&rsa_aes, opener_pub, opener, secret_key, &secret, &aes);

    /* The HSM's IV, not the caller's; and it comes out of the same parameter. */
    CK_BYTE before[12], wrapped[64];
    memcpy(before, iv, sizeof iv);
    wrap(&gcm, under, secret_key, wrapped, sizeof wrapped);
    HOLDS(memcmp(before, iv, sizeof iv) != 0);

    CK_OBJECT_HANDLE none;
    CK_ULONG len = sizeof wrapped;
    IS(CKR_MECHANISM_INVALID, p->C_WrapKey(s, &cbc_pad, under, secret_key, wrapped, &len));
    IS(CKR_WRAPPING_KEY_HANDLE_INVALID, p->C_WrapKey(s, &zero_pad, 4711, secret_key, wrapped, &len));
    IS(CKR_KEY_HANDLE_INVALID, p->C_WrapKey(s, &zero_pad, under, 4711, wrapped, &len));
    IS(CKR_WRAPPING_KEY_TYPE_INCONSISTENT, p->C_WrapKey(s, &zero_pad, opener_pub, secret_key, wrapped, &len));
    IS(CKR_KEY_FUNCTION_NOT_PERMITTED, p->C_WrapKey(s, &zero_pad, secret_key, odd_key, wrapped, &len));
    IS(CKR_KEY_UNEXTRACTABLE, p->C_WrapKey(s, &zero_pad, under, under, wrapped, &len));
    len = 2048;
    CK_BYTE large[2048];
    HOLDS(p->C_WrapKey(s, &no_pad, under, odd_key, large, &len) != CKR_OK);
    memset(wrapped, 7, sizeof wrapped);
    IS(CKR_WRAPPED_KEY_INVALID, unwrap(&zero_pad, under, wrapped, 40, &secret, &aes, &none));
    IS(CKR_UNWRAPPING_KEY_HANDLE_INVALID, unwrap(&zero_pad, 4711, wrapped, 40, &secret, &aes, &none));
    IS(CKR_TEMPLATE_INCOMPLETE, p->C_UnwrapKey(s, &zero_pad, under, wrapped, 40, NULL, 0, &none));
    OK(p->C_DestroyObject(s, under));
}

/* Kinds of keys that not every cluster has. */
static void kinds(void)
{
    static CK_BYTE ed25519[] = { 0x06, 0x03, 0x2b, 0x65, 0x70 }, name[] = "\x13\x0c" "edwards25519";
    CK_OBJECT_HANDLE pub, priv, under = make_wrapper(0, NULL, 0, "wraps kinds"), hits[8];
    CK_KEY_TYPE edwards = CKK_EC_EDWARDS, type = 0, des3_type = CKK_DES3;
    CK_BYTE room[2700], large[8192];
    CK_ULONG len = sizeof room;
    CK_MECHANISM zero_pad = { CKM_CLOUDHSM_AES_KEY_WRAP_ZERO_PAD, NULL, 0 };

    CK_ATTRIBUTE curve[] = { { CKA_EC_PARAMS, ed25519, sizeof ed25519 }, { CKA_VERIFY, &yes, 1 } };
    make_pair(CKM_EC_KEY_PAIR_GEN, curve, 2, NULL, 0, &pub, &priv);
    OK(read_one(pub, CKA_EC_POINT, room, &len));
    HOLDS(len == 34 && room[0] == 4 && room[1] == 32);
    len = sizeof room;
    OK(read_one(priv, CKA_EC_PARAMS, room, &len));
    HOLDS(len == sizeof ed25519 && memcmp(room, ed25519, len) == 0);
    len = sizeof type;
    OK(read_one(pub, CKA_KEY_TYPE, &type, &len));
    HOLDS(type == CKK_EC && find_one(CKA_KEY_TYPE, &edwards, sizeof edwards, hits) == 2);
    round_trip(&zero_pad, under, under, priv, &private, &ec);
    CK_ATTRIBUTE by_name[] = { { CKA_EC_PARAMS, name, 14 }, { CKA_KEY_TYPE, &edwards, sizeof edwards } };
    make_pair(CKM_EC_KEY_PAIR_GEN, by_name, 2, NULL, 0, &pub, &priv);
    by_name[0] = (CK_ATTRIBUTE){ CKA_EC_PARAMS, p256, sizeof p256 };
    CK_MECHANISM ec_gen = { CKM_EC_KEY_PAIR_GEN, NULL, 0 };
    IS(CKR_TEMPLATE_INCONSISTENT, p->C_GenerateKeyPair(s, &ec_gen, by_name, 2, NULL, 0, &pub, &priv));

    const CK_ULONG public_lens[] = { 1312, 1952, 2592 };
    for (CK_ULONG set = CKP_CLOUDHSM_ML_DSA_44; set <= CKP_CLOUDHSM_ML_DSA_87; set++) {
        CK_ATTRIBUTE sized[] = { { CKA_CLOUDHSM_PARAMETER_SET, &set, sizeof set } };
        make_pair(CKM_CLOUDHSM_ML_DSA_KEY_PAIR_GEN, sized, 1, NULL, 0, &pub, &priv);
        CK_ULONG told = 0;
        len = sizeof told;
        OK(read_one(priv, CKA_CLOUDHSM_PARAMETER_SET, &told, &len));
        HOLDS(told == set && find(sized, 1, hits, 8) == 2);
        len = sizeof room;
        OK(read_one(pub, CKA_VALUE, room, &len));
        HOLDS(len == public_lens[set - CKP_CLOUDHSM_ML_DSA_44]);
        len = sizeof room;
        IS(CKR_ATTRIBUTE_SENSITIVE, read_one(priv, CKA_VALUE, room, &len));
        len = sizeof large;
        IS(CKR_KEY_NOT_WRAPPABLE, p->C_WrapKey(s, &zero_pad, under, priv, large, &len));
    }
    CK_MECHANISM ml_dsa_gen = { CKM_CLOUDHSM_ML_DSA_KEY_PAIR_GEN, NULL, 0 };
    IS(CKR_TEMPLATE_INCOMPLETE, p->C_GenerateKeyPair(s, &ml_dsa_gen, NULL, 0, NULL, 0, &pub, &priv));

    CK_OBJECT_HANDLE des3 = make(CKM_DES3_KEY_GEN, NULL, 0);
    len = sizeof room;
    IS(CKR_ATTRIBUTE_TYPE_INVALID, read_one(des3, CKA_VALUE_LEN, room, &len));
    CK_ULONG len24 = 24;
    HOLDS(find_one(CKA_VALUE_LEN, &len24, sizeof len24, hits) == 0);
    round_trip(&zero_pad, under, under, des3, &secret, &des3_type);
}

/* A key that is wrapped by a trusted key only, and what the trusted key demands of what is unwrapped with it. */
static void trusted(void)
{
    CK_ATTRIBUTE demands[] = { { CKA_EXTRACTABLE, &no, 1 } };
    make_wrapper(CKA_UNWRAP_TEMPLATE, demands, 1, "trusted");
    CK_OBJECT_HANDLE plain = make_wrapper(0, NULL, 0, "plain"), wrapper, pub, priv, again;
    wait_for("trust");
    HOLDS(find_one(CKA_LABEL, "trusted", 7, &wrapper) == 1);
    HOLDS(flag(wrapper, CKA_TRUSTED) && !flag(plain, CKA_TRUSTED));
    CK_ATTRIBUTE rsa_template[] = { { CKA_MODULUS_BITS, &bits2048, sizeof bits2048 },
                                    { CKA_PUBLIC_EXPONENT, e65537, sizeof e65537 } };
    CK_ATTRIBUTE guarded[] = { { CKA_WRAP_WITH_TRUSTED, &yes, 1 }, { CKA_SIGN, &yes, 1 } };
    make_pair(CKM_RSA_PKCS_KEY_PAIR_GEN, rsa_template, 2, guarded, 2, &pub, &priv);
    HOLDS(flag(priv, CKA_WRAP_WITH_TRUSTED));
    CK_MECHANISM zero_pad = { CKM_CLOUDHSM_AES_KEY_WRAP_ZERO_PAD, NULL, 0 };
    CK_BYTE wrapped[2048];
    CK_ULONG len = sizeof wrapped;
    IS(CKR_KEY_NOT_WRAPPABLE, p->C_WrapKey(s, &zero_pad, plain, priv, wrapped, &len));
    len = wrap(&zero_pad, wrapper, priv, wrapped, sizeof wrapped);
    CK_ATTRIBUTE template[] = { { CKA_CLASS, &private, sizeof private }, { CKA_KEY_TYPE, &rsa, sizeof rsa },
                                { CKA_SIGN, &yes, 1 }, { CKA_EXTRACTABLE, &no, 1 } };
    OK(p->C_UnwrapKey(s, &zero_pad, wrapper, wrapped, len, template, 4, &again));
    HOLDS(!flag(again, CKA_EXTRACTABLE) && flag(again, CKA_SIGN) && same(again, priv, CKA_MODULUS));
    template[3].pValue = &yes;
    IS(CKR_TEMPLATE_INCONSISTENT, p->C_UnwrapKey(s, &zero_pad, wrapper, wrapped, len, template, 4, &again));
    OK(p->C_UnwrapKey(s, &zero_pad, wrapper, wrapped, len, template, 3, &again));
    HOLDS(!flag(again, CKA_EXTRACTABLE) && flag(again, CKA_SENSITIVE) && !flag(again, CKA_TOKEN));
    CK_ATTRIBUTE read[] = { { CKA_UNWRAP_TEMPLATE, NULL, 0 } };
    OK(p->C_GetAttributeValue(s, wrapper, read, 1));
    HOLDS(read[0].ulValueLen == sizeof(CK_ATTRIBUTE));
    CK_BBOOL extractable = 7;
    CK_ATTRIBUTE entry = { 0, NULL, 0 };
    read[0].pValue = &entry;
    OK(p->C_GetAttributeValue(s, wrapper, read, 1));
    HOLDS(entry.type == CKA_EXTRACTABLE && entry.ulValueLen == 1);
    entry.pValue = &extractable;
    OK(p->C_GetAttributeValue(s, wrapper, read, 1));
    HOLDS(extractable == CK_FALSE);
    entry.ulValueLen = 0;
    IS(CKR_BUFFER_TOO_SMALL, p->C_GetAttributeValue(s, wrapper, read, 1));
}

/* Another program deletes three keys: whichever use learns it, the handle is nothing's from then on. */
static void gone(void)
{
    CK_OBJECT_HANDLE keys[4], stays = make_wrapper(0, NULL, 0, "stays"), pub, made;
    CK_MECHANISM zero_pad = { CKM_CLOUDHSM_AES_KEY_WRAP_ZERO_PAD, NULL, 0 }, ecdsa = { CKM_ECDSA, NULL, 0 };
    CK_BYTE room[512], digest[32] = { 0 };
    CK_ULONG len;
    CK_ATTRIBUTE curve[] = { { CKA_EC_PARAMS, p256, sizeof p256 } };
    CK_ATTRIBUTE signs[] = { { CKA_SIGN, &yes, 1 }, { CKA_TOKEN, &yes, 1 }, { CKA_LABEL, "gone", 4 } };
    CK_ATTRIBUTE template[] = { { CKA_CLASS, &secret, sizeof secret }, { CKA_KEY_TYPE, &aes, sizeof aes } };
    make_pair(CKM_EC_KEY_PAIR_GEN, curve, 1, signs, 3, &pub, &keys[0]);
    keys[1] = make_wrapper(0, NULL, 0, "gone");
    keys[2] = make_aes("gone", &yes);
    keys[3] = make_wrapper(0, NULL, 0, "gone");
    CK_ULONG wrapped_len = wrap(&zero_pad, keys[1], keys[2], room, sizeof room);
    wait_for("delete");
    /* Nothing is asked of an HSM when what is known of a key permits the use. */
    OK(p->C_SignInit(s, &ecdsa, keys[0]));
    len = sizeof room;
    IS(CKR_KEY_HANDLE_INVALID, p->C_Sign(s, digest, sizeof digest, room + 256, &len));
    IS(CKR_KEY_HANDLE_INVALID, p->C_SignInit(s, &ecdsa, keys[0]));
    IS(CKR_UNWRAPPING_KEY_HANDLE_INVALID,
       p->C_UnwrapKey(s, &zero_pad, keys[1], room, wrapped_len, template, COUNT(template), &made));
    len = sizeof room;
    IS(CKR_KEY_HANDLE_INVALID, p->C_WrapKey(s, &zero_pad, stays, keys[2], room, &len));
    len = sizeof room;
    IS(CKR_WRAPPING_KEY_HANDLE_INVALID, p->C_WrapKey(s, &zero_pad, keys[3], stays, room, &len));
    OK(p->C_WrapKey(s, &zero_pad, stays, stays, NULL, &len));
    for (int i = 0; i < 4; i++) {
        len = sizeof digest;
        IS(CKR_OBJECT_HANDLE_INVALID, read_one(keys[i], CKA_ID, digest, &len));
    }
}

/* A key that wraps keys of one kind only. */
static void demanding(void)
{
    CK_ATTRIBUTE demands[] = { { CKA_ENCRYPT, &yes, 1 } };
    CK_OBJECT_HANDLE wrapper = make_wrapper(CKA_WRAP_TEMPLATE, demands, 1, "demanding"), good, bad;
    CK_ATTRIBUTE template[] = { { CKA_VALUE_LEN, &len16, sizeof len16 }, { CKA_ENCRYPT, &no, 1 } };
    bad = make(CKM_AES_KEY_GEN, template, 2);
    template[1].pValue = &yes;
    good = make(CKM_AES_KEY_GEN, template, 2);
    CK_MECHANISM zero_pad = { CKM_CLOUDHSM_AES_KEY_WRAP_ZERO_PAD, NULL, 0 };
    CK_BYTE wrapped[64];
    CK_ULONG len = sizeof wrapped;
    IS(CKR_KEY_HANDLE_INVALID, p->C_WrapKey(s, &zero_pad, wrapper, bad, wrapped, &len));
    wrap(&zero_pad, wrapper, good, wrapped, sizeof wrapped);
    HOLDS(flag(bad, CKA_SIGN));
}

static CK_OBJECT_HANDLE create(CK_OBJECT_CLASS *class, CK_KEY_TYPE *type, CK_ATTRIBUTE *rest, CK_ULONG count)
{
    CK_ATTRIBUTE template[16] = { { CKA_CLASS, class, sizeof *class }, { CKA_KEY_TYPE, type, sizeof *type } };
    CK_OBJECT_HANDLE key = 0;
    memcpy(template + 2, rest, count * sizeof *rest);
    OK(p->C_CreateObject(s, template, count + 2, &key));
    HOLDS(!flag(key, CKA_LOCAL));
    return key;
}

static void sign(CK_OBJECT_HANDLE key, CK_MECHANISM_TYPE type, const char *name)
{
    CK_MECHANISM mechanism = { type, NULL, 0 };
    CK_BYTE signature[512];
    CK_ULONG len = sizeof signature;
    OK(p->C_SignInit(s, &mechanism, key));
    OK(p->C_Sign(s, (CK_BYTE_PTR)"message", 7, signature, &len));
    print(name, signature, len);
}

#define PART(type, bytes) { type, (void *)(bytes), sizeof(bytes) }

/* Keys that come in clear: they are what they were. */
static void imports(void)
{
    CK_OBJECT_HANDLE key, none;
    CK_BYTE value[32], room[64];
    for (size_t i = 0; i < sizeof value; i++)
        value[i] = (CK_BYTE)i;
    CK_ATTRIBUTE open[] = { { CKA_VALUE, value, sizeof value }, { CKA_SENSITIVE, &no, 1 }, { CKA_SIGN, &yes, 1 } };
    key = create(&secret, &aes, open, 3);
    CK_ULONG len = sizeof room;
    OK(read_one(key, CKA_VALUE, room, &len));
    HOLDS(len == sizeof value && memcmp(room, value, len) == 0);
    HOLDS(!flag(key, CKA_ALWAYS_SENSITIVE) && !flag(key, CKA_NEVER_EXTRACTABLE));
    len = sizeof room;
    OK(read_one(key, CKA_CHECK_VALUE, room, &len));
    print("aes-check-value", room, len);
    open[0].ulValueLen = 20;
    key = create(&secret, &generic, open, 3);
    len = sizeof room;
    OK(read_one(key, CKA_VALUE, room, &len));
    HOLDS(len == 20 && memcmp(room, value, len) == 0);
    CK_ATTRIBUTE closed[] = { { CKA_VALUE, value, 16 } };
    key = create(&secret, &aes, closed, 1);
    len = sizeof room;
    IS(CKR_ATTRIBUTE_SENSITIVE, read_one(key, CKA_VALUE, room, &len));

    CK_ATTRIBUTE whole[] = {
        { CKA_SIGN, &yes, 1 }, PART(CKA_MODULUS, MODULUS), { CKA_PUBLIC_EXPONENT, e65537, sizeof e65537 },
        PART(CKA_PRIVATE_EXPONENT, PRIVATE_EXPONENT), PART(CKA_PRIME_1, PRIME_1), PART(CKA_PRIME_2, PRIME_2),
        PART(CKA_EXPONENT_1, EXPONENT_1), PART(CKA_EXPONENT_2, EXPONENT_2), PART(CKA_COEFFICIENT, COEFFICIENT),
    };
    key = create(&private, &rsa, whole, COUNT(whole));
    print("rsa-modulus", MODULUS, sizeof MODULUS);
    sign(key, CKM_SHA256_RSA_PKCS, "rsa-signature");
    key = create(&private, &rsa, whole, 4);
    sign(key, CKM_SHA256_RSA_PKCS, "rsa-signature-of-exponents");
    CK_ATTRIBUTE rsa_half[] = { { CKA_VERIFY, &yes, 1 }, PART(CKA_MODULUS, MODULUS),
                                { CKA_PUBLIC_EXPONENT, e65537, sizeof e65537 }, { CKA_PRIVATE, &no, 1 } };
    none = create(&public, &rsa, rsa_half, 4);
    HOLDS(same(none, key, CKA_CHECK_VALUE) && !flag(none, CKA_PRIVATE));

    CK_ATTRIBUTE scalar[] = { { CKA_SIGN, &yes, 1 }, { CKA_EC_PARAMS, p256, sizeof p256 }, PART(CKA_VALUE, EC_PRIVATE) };
    key = create(&private, &ec, scalar, 3);
    print("ec-point", EC_PUBLIC, sizeof EC_PUBLIC);
    sign(key, CKM_ECDSA_SHA256, "ec-signature");
    CK_ATTRIBUTE point[] = { { CKA_EC_PARAMS, p256, sizeof p256 }, PART(CKA_EC_POINT, EC_PUBLIC) };
    none = create(&public, &ec, point, 2);
    HOLDS(same(none, key, CKA_CHECK_VALUE));
    CK_OBJECT_HANDLE again;
    point[1] = (CK_ATTRIBUTE){ CKA_EC_POINT, (CK_BYTE *)EC_PUBLIC + 2, sizeof EC_PUBLIC - 2 };
    again = create(&public, &ec, point, 2);
    HOLDS(same(none, again, CKA_EC_POINT));

    /* What no key is. */
    CK_OBJECT_CLASS data = CKO_DATA;
    CK_ATTRIBUTE bad[] = { { CKA_CLASS, &data, sizeof data }, { CKA_VALUE, value, 8 } };
    IS(CKR_TEMPLATE_INCONSISTENT, p->C_CreateObject(s, bad, 2, &none));
    IS(CKR_TEMPLATE_INCOMPLETE, p->C_CreateObject(s, bad + 1, 1, &none));
    CK_ATTRIBUTE short_aes[] = { { CKA_CLASS, &secret, sizeof secret }, { CKA_KEY_TYPE, &aes, sizeof aes },
                                 { CKA_VALUE, value, 15 } };
    IS(CKR_ATTRIBUTE_VALUE_INVALID, p->C_CreateObject(s, short_aes, 3, &none));
    CK_BYTE off[67];
    memcpy(off, EC_PUBLIC, sizeof off);
    off[66] ^= 1;
    CK_ATTRIBUTE off_curve[] = { { CKA_CLASS, &public, sizeof public }, { CKA_KEY_TYPE, &ec, sizeof ec },
                                 { CKA_EC_PARAMS, p256, sizeof p256 }, { CKA_EC_POINT, off, sizeof off } };
    HOLDS(p->C_CreateObject(s, off_curve, 4, &none) != CKR_OK);
}

/* Both sides agree, and a key comes from a key. */
static void derivations(void)
{
    CK_OBJECT_HANDLE pub[2], priv[2], agreed[2], none;
    CK_ATTRIBUTE curve[] = { { CKA_EC_PARAMS, p256, sizeof p256 }, { CKA_VERIFY, &yes, 1 } };
    CK_ATTRIBUTE derives[] = { { CKA_DERIVE, &yes, 1 } };
    CK_ATTRIBUTE template[] = { { CKA_CLASS, &secret, sizeof secret }, { CKA_KEY_TYPE, &aes, sizeof aes },
                                { CKA_VALUE_LEN, &len32, sizeof len32 }, { CKA_LABEL, "agreed", 6 } };
    CK_BYTE point[2][80], info[] = "info";
    CK_ECDH1_DERIVE_PARAMS params = { CKD_CLOUDHSM_X963_SHA256_KDF, 4, info, 0, NULL };
    CK_MECHANISM ecdh = { CKM_ECDH1_DERIVE, &params, sizeof params };
    CK_ULONG len[2] = { 80, 80 };
    for (int i = 0; i < 2; i++) {
        make_pair(CKM_EC_KEY_PAIR_GEN, curve, 2, derives, 1, &pub[i], &priv[i]);
        OK(read_one(pub[i], CKA_EC_POINT, point[i], &len[i]));
    }
    for (int i = 0; i < 2; i++) {
        params.pPublicData = point[1 - i];
        params.ulPublicDataLen = len[1 - i];
        OK(p->C_DeriveKey(s, &ecdh, priv[i], template, 4, &agreed[i]));
        HOLDS(flag(agreed[i], CKA_SENSITIVE) && flag(agreed[i], CKA_EXTRACTABLE) && !flag(agreed[i], CKA_TOKEN));
        HOLDS(!flag(agreed[i], CKA_SIGN) && !flag(agreed[i], CKA_ENCRYPT));
    }
    HOLDS(same(agreed[0], agreed[1], CKA_CHECK_VALUE));
    CK_ATTRIBUTE open[] = { template[0], template[1], template[2], { CKA_SENSITIVE, &no, 1 } };
    IS(CKR_ATTRIBUTE_VALUE_INVALID, p->C_DeriveKey(s, &ecdh, priv[0], open, 4, &none));
    IS(CKR_TEMPLATE_INCOMPLETE, p->C_DeriveKey(s, &ecdh, priv[0], template, 2, &none));
    IS(CKR_KEY_TYPE_INCONSISTENT, p->C_DeriveKey(s, &ecdh, agreed[0], template, 4, &none));
    IS(CKR_KEY_HANDLE_INVALID, p->C_DeriveKey(s, &ecdh, 4711, template, 4, &none));
    params.kdf = CKD_NULL;
    params.ulSharedDataLen = 0;
    params.pSharedData = NULL;
    IS(CKR_MECHANISM_PARAM_INVALID, p->C_DeriveKey(s, &ecdh, priv[0], template, 4, &none));

    /* The counter KDF in its older layout and the same in the order of its parts. */
    CK_ATTRIBUTE of_base[] = { { CKA_VALUE_LEN, &len32, sizeof len32 }, { CKA_DERIVE, &yes, 1 } };
    CK_OBJECT_HANDLE base = make(CKM_AES_KEY_GEN, of_base, 2);
    CK_SP800_108_COUNTER_FORMAT counter = { 32 };
    CK_SP800_108_DKM_LENGTH_FORMAT dkm = { SP800_108_DKM_LENGTH_SUM_OF_KEYS, 32 };
    CK_BYTE label[] = "label", context[] = "context", zero[] = { 0 };
    CK_PRF_DATA_PARAM older[] = { { SP800_108_COUNTER_FORMAT, &counter, sizeof counter },
                                  { SP800_108_PRF_LABEL, label, 5 }, { SP800_108_PRF_CONTEXT, context, 7 },
                                  { SP800_108_DKM_FORMAT, &dkm, sizeof dkm } };
    CK_PRF_DATA_PARAM newer[] = { { CK_SP800_108_ITERATION_VARIABLE, &counter, sizeof counter },
                                  { CK_SP800_108_BYTE_ARRAY, label, 5 }, { CK_SP800_108_BYTE_ARRAY, zero, 1 },
                                  { CK_SP800_108_BYTE_ARRAY, context, 7 }, { CK_SP800_108_DKM_LENGTH, &dkm, sizeof dkm } };
    CK_SP800_108_KDF_PARAMS kdf_params = { CKM_SHA256_HMAC, COUNT(older), older };
    CK_MECHANISM kdf = { CKM_CLOUDHSM_SP800_108_COUNTER_KDF, &kdf_params, sizeof kdf_params };
    OK(p->C_DeriveKey(s, &kdf, base, template, 4, &agreed[0]));
    kdf_params.pDataParams = newer;
    kdf_params.ulNumberOfDataParams = COUNT(newer);
    OK(p->C_DeriveKey(s, &kdf, base, template, 4, &agreed[1]));
    HOLDS(same(agreed[0], agreed[1], CKA_CHECK_VALUE) && !same(agreed[0], base, CKA_CHECK_VALUE));
}

/* The shared secret itself, where the configuration lets programs have it. */
static void shared_secret(void)
{
    CK_OBJECT_HANDLE pub, priv, agreed;
    CK_ATTRIBUTE curve[] = { { CKA_EC_PARAMS, p256, sizeof p256 } }, derives[] = { { CKA_DERIVE, &yes, 1 } };
    CK_ATTRIBUTE scalar[] = { { CKA_DERIVE, &yes, 1 }, { CKA_EC_PARAMS, p256, sizeof p256 }, PART(CKA_VALUE, EC_PRIVATE) };
    /* What pkcs11-tool asks for. */
    CK_ATTRIBUTE template[] = {
        { CKA_TOKEN, &no, 1 }, { CKA_CLASS, &secret, sizeof secret }, { CKA_KEY_TYPE, &generic, sizeof generic },
        { CKA_SENSITIVE, &no, 1 }, { CKA_EXTRACTABLE, &yes, 1 }, { CKA_ENCRYPT, &yes, 1 }, { CKA_DECRYPT, &yes, 1 },
        { CKA_WRAP, &yes, 1 }, { CKA_UNWRAP, &yes, 1 }, { CKA_VALUE_LEN, &len32, sizeof len32 },
    };
    CK_BYTE point[80], value[32];
    CK_ULONG point_len = sizeof point, len = sizeof value;
    CK_ECDH1_DERIVE_PARAMS params = { CKD_NULL, 0, NULL, sizeof EC_PUBLIC, (CK_BYTE_PTR)EC_PUBLIC };
    CK_MECHANISM ecdh = { CKM_ECDH1_DERIVE, &params, sizeof params };
    make_pair(CKM_EC_KEY_PAIR_GEN, curve, 1, derives, 1, &pub, &priv);
    OK(read_one(pub, CKA_EC_POINT, point, &point_len));
    OK(p->C_DeriveKey(s, &ecdh, priv, template, COUNT(template), &agreed));
    OK(read_one(agreed, CKA_VALUE, value, &len));
    HOLDS(len == sizeof value && !flag(agreed, CKA_SENSITIVE) && !flag(agreed, CKA_ALWAYS_SENSITIVE));
    print("point", point, point_len);
    print("scalar", EC_PRIVATE, sizeof EC_PRIVATE);
    print("secret", value, len);
    /* The other side, whose key came in. */
    CK_BYTE other[32];
    priv = create(&private, &ec, scalar, 3);
    params.pPublicData = point + 2;
    params.ulPublicDataLen = point_len - 2;
    OK(p->C_DeriveKey(s, &ecdh, priv, template, COUNT(template), &agreed));
    OK(read_one(agreed, CKA_VALUE, other, &len));
    HOLDS(memcmp(value, other, sizeof value) == 0);
}

static CK_OBJECT_CLASS certificate = CKO_CERTIFICATE;
static CK_CERTIFICATE_TYPE x509 = CKC_X_509;
static CK_BYTE subject[] = { 0x30, 0x0d, 0x31, 0x0b, 0x30, 0x09, 0x06, 0x03, 0x55, 0x04, 0x03, 0x0c, 0x02, 'm', 'e' };
static CK_BYTE der[] = { 0x30, 0x03, 0x02, 0x01, 0x05 };

static CK_OBJECT_HANDLE make_certificate(CK_SESSION_HANDLE session, const char *label, CK_BBOOL *token)
{
    CK_ATTRIBUTE template[] = {
        { CKA_CLASS, &certificate, sizeof certificate }, { CKA_CERTIFICATE_TYPE, &x509, sizeof x509 },
        { CKA_SUBJECT, subject, sizeof subject }, { CKA_VALUE, der, sizeof der },
        { CKA_LABEL, (void *)label, strlen(label) }, { CKA_TOKEN, token, 1 }, { CKA_ID, "\7", 1 },
    };
    CK_OBJECT_HANDLE object = 0;
    OK(p->C_CreateObject(session, template, COUNT(template), &object));
    return object;
}

/* Certificates beside keys, with a login and without one. */
static void certificates(void)
{
    CK_OBJECT_HANDLE hits[8], key = make_aes("a key", &no), kept = make_certificate(s, "mine", &yes);
    CK_BYTE room[64];
    CK_ULONG len = sizeof room;
    OK(read_one(kept, CKA_VALUE, room, &len));
    HOLDS(len == sizeof der && memcmp(room, der, len) == 0);
    len = sizeof room;
    OK(read_one(kept, CKA_CHECK_VALUE, room, &len));
    HOLDS(len == 3 && flag(kept, CKA_TOKEN) && !flag(kept, CKA_PRIVATE) && !flag(kept, CKA_TRUSTED));
    IS(CKR_ATTRIBUTE_TYPE_INVALID, read_one(kept, CKA_MODULUS, room, &len));
    IS(CKR_KEY_HANDLE_INVALID, p->C_SignInit(s, &(CK_MECHANISM){ CKM_ECDSA, NULL, 0 }, kept));

    CK_ATTRIBUTE by_label[] = { { CKA_CLASS, &certificate, sizeof certificate }, { CKA_LABEL, "mine", 4 } };
    HOLDS(find(by_label, 2, hits, 8) == 1 && hits[0] == kept);
    CK_ATTRIBUTE by_subject[] = { { CKA_CLASS, &certificate, sizeof certificate },
                                  { CKA_SUBJECT, subject, sizeof subject } };
    HOLDS(find(by_subject, 2, hits, 8) == 1 && hits[0] == kept);
    HOLDS(find(NULL, 0, hits, 8) == 2);
    HOLDS(find_one(CKA_CLASS, &secret, sizeof secret, hits) == 1 && hits[0] == key);
    HOLDS(find_one(CKA_TOKEN, &no, 1, hits) == 1 && hits[0] == key);

    /* What the HSMs do not compare. */
    CK_ATTRIBUTE with_key[] = {
        { CKA_CLASS, &certificate, sizeof certificate }, { CKA_CERTIFICATE_TYPE, &x509, sizeof x509 },
        { CKA_SUBJECT, subject, sizeof subject }, { CKA_VALUE, der, sizeof der }, { CKA_PUBLIC_KEY_INFO, der, 2 },
    };
    OK(p->C_CreateObject(s, with_key, COUNT(with_key), hits + 7));
    HOLDS(find(with_key + 4, 1, hits, 7) == 1 && hits[0] == hits[7]);
    HOLDS(find_one(CKA_PUBLIC_KEY_INFO, der, 3, hits) == 0);
    OK(p->C_DestroyObject(s, hits[7]));

    CK_ATTRIBUTE renamed[] = { { CKA_LABEL, "renamed", 7 } };
    OK(p->C_SetAttributeValue(s, kept, renamed, 1));
    HOLDS(find(by_label, 2, hits, 8) == 0 && find_one(CKA_LABEL, "renamed", 7, hits) == 1);
    renamed[0] = (CK_ATTRIBUTE){ CKA_VALUE, der, sizeof der };
    IS(CKR_ATTRIBUTE_READ_ONLY, p->C_SetAttributeValue(s, kept, renamed, 1));
    IS(CKR_ACTION_PROHIBITED, p->C_CopyObject(s, kept, NULL, 0, hits));

    /* Of a session. */
    CK_SESSION_HANDLE second = open_session();
    CK_OBJECT_HANDLE passing = make_certificate(second, "passing", &no);
    HOLDS(!flag(passing, CKA_TOKEN) && find_one(CKA_LABEL, "passing", 7, hits) == 1 && hits[0] == passing);
    OK(p->C_CloseSession(second));
    len = 0;
    IS(CKR_OBJECT_HANDLE_INVALID, read_one(passing, CKA_LABEL, NULL, &len));

    /* Whoever is not logged in sees it and may not destroy what is another's. */
    OK(p->C_Logout(s));
    HOLDS(find(NULL, 0, hits, 8) == 1 && hits[0] == kept);
    len = sizeof room;
    OK(read_one(kept, CKA_VALUE, room, &len));
    HOLDS(p->C_DestroyObject(s, kept) != CKR_OK);
    login();
    OK(p->C_DestroyObject(s, kept));
    IS(CKR_OBJECT_HANDLE_INVALID, p->C_DestroyObject(s, kept));
    HOLDS(find(NULL, 0, hits, 8) == 0);
    CK_ATTRIBUTE least[] = { { CKA_CLASS, &certificate, sizeof certificate } };
    IS(CKR_TEMPLATE_INCOMPLETE, p->C_CreateObject(s, least, 1, hits));
}

/* Without the setting there are none. */
static void without_certificates(void)
{
    CK_OBJECT_HANDLE none;
    CK_ATTRIBUTE template[] = {
        { CKA_CLASS, &certificate, sizeof certificate }, { CKA_CERTIFICATE_TYPE, &x509, sizeof x509 },
        { CKA_SUBJECT, subject, sizeof subject }, { CKA_VALUE, der, sizeof der },
    };
    IS(CKR_TEMPLATE_INCONSISTENT, p->C_CreateObject(s, template, 4, &none));
    HOLDS(find(template, 1, &none, 1) == 0);
}

static const struct {
    const char *name;
    void (*tell)(void);
} STORIES[] = {
    { "attributes", attributes },
    { "searches", searches },
    { "copies", copies },
    { "sessions", sessions },
    { "endings", endings },
    { "changes", changes },
    { "halves", halves },
    { "wraps", wraps },
    { "kinds", kinds },
    { "trusted", trusted },
    { "gone", gone },
    { "demanding", demanding },
    { "imports", imports },
    { "derivations", derivations },
    { "shared-secret", shared_secret },
    { "certificates", certificates },
    { "without-certificates", without_certificates },
};

int main(int argc, char **argv)
{
    CK_C_GetFunctionList list;
    CK_C_INITIALIZE_ARGS args = { 0 };
    CK_ULONG count = 1;
    if (argc != 4)
        return 2;
    void *module = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (!module) {
        printf("%s\n", dlerror());
        return 2;
    }
    *(void **)&list = dlsym(module, "C_GetFunctionList");
    HOLDS(list != NULL);
    OK(list(&p));
    args.flags = CKF_OS_LOCKING_OK;
    OK(p->C_Initialize(&args));
    OK(p->C_GetSlotList(CK_TRUE, &slot, &count));
    pin = argv[2];
    s = open_session();
    login();
    for (size_t i = 0; i < COUNT(STORIES); i++) {
        if (strcmp(argv[3], STORIES[i].name) == 0) {
            STORIES[i].tell();
            OK(p->C_Finalize(NULL));
            printf("done\n");
            return 0;
        }
    }
    return 2;
}
