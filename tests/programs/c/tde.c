/* A database that keeps its master key in the token, as Oracle's TDE does it: `tde MODULE STEP FOLDER`, the PIN in PIN.
 *
 *   set-key  makes a new master key, encrypts a tablespace's key with it into FOLDER/tablespace.sealed, and wraps another
 *            into FOLDER/wrapped
 *   open     finds the master key by its label, lets a forked process do the same, and decrypts what `set-key` left
 *   drop     tries to destroy the master key
 *
 * Prints one line a step; ends with 1 and the call's name and code when a call fails that must not.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cryptoki.h>

/* Type 06 and 32 hexadecimal digits; the second label is that of the key's data object, in its full length. */
#define MASTER_KEY "ORACLE.TDE.HSM.MK.06C0FFEE00112233445566778899AABBCC"
#define MASTER_KEY_DATA                                                                                       \
    "ORACLE.SECURITY.KM.ENCRYPTION.30364330464645453030313132323333343435353636373738383939414142424343"
#define ZERO_PAD (CKM_VENDOR_DEFINED | 0x216FUL)

static CK_FUNCTION_LIST_PTR p11;
static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
static CK_BYTE iv[16] = "0123456789abcde";
static CK_BYTE tablespace[32] = "the key of a tablespace, 256 bit";

static void must(const char *call, CK_RV rv) {
    if (rv != CKR_OK) {
        fprintf(stderr, "%s: 0x%lx\n", call, (unsigned long)rv);
        exit(1);
    }
}

static void load(const char *module) {
    void *library = dlopen(module, RTLD_NOW);
    if (library == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        exit(1);
    }
    CK_RV (*list)(CK_FUNCTION_LIST_PTR_PTR) = (CK_RV(*)(CK_FUNCTION_LIST_PTR_PTR))dlsym(library, "C_GetFunctionList");
    must("C_GetFunctionList", list(&p11));
}

/* What opening a key store is. */
static CK_SESSION_HANDLE open_store(void) {
    CK_C_INITIALIZE_ARGS arguments = {.flags = CKF_OS_LOCKING_OK};
    CK_SLOT_ID slot;
    CK_ULONG count = 1;
    CK_TOKEN_INFO token;
    CK_SESSION_HANDLE session;
    char *pin = getenv("PIN");

    must("C_Initialize", p11->C_Initialize(&arguments));
    must("C_GetSlotList", p11->C_GetSlotList(CK_TRUE, &slot, &count));
    must("C_GetTokenInfo", p11->C_GetTokenInfo(slot, &token));
    if (token.flags & CKF_WRITE_PROTECTED) {
        fprintf(stderr, "the token is write protected\n");
        exit(1);
    }
    must("C_OpenSession", p11->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session));
    must("C_Login", p11->C_Login(session, CKU_USER, (CK_UTF8CHAR_PTR)pin, strlen(pin)));
    return session;
}

static void close_store(CK_SESSION_HANDLE session) {
    must("C_Logout", p11->C_Logout(session));
    must("C_CloseSession", p11->C_CloseSession(session));
    must("C_Finalize", p11->C_Finalize(NULL));
}

/* Objects with this label, of whatever class; `object` is the last one. */
static CK_ULONG find(CK_SESSION_HANDLE session, char *label, CK_OBJECT_HANDLE *object) {
    CK_ATTRIBUTE template[] = {{CKA_LABEL, label, strlen(label)}};
    CK_ULONG count, all = 0;

    must("C_FindObjectsInit", p11->C_FindObjectsInit(session, template, 1));
    do {
        must("C_FindObjects", p11->C_FindObjects(session, object, 1, &count));
        all += count;
    } while (count != 0);
    must("C_FindObjectsFinal", p11->C_FindObjectsFinal(session));
    return all;
}

static CK_OBJECT_HANDLE master_key(CK_SESSION_HANDLE session) {
    CK_OBJECT_HANDLE key;
    CK_ULONG count = find(session, MASTER_KEY, &key);
    if (count != 1) {
        fprintf(stderr, "%lu objects are called %s\n", (unsigned long)count, MASTER_KEY);
        exit(1);
    }
    return key;
}

static FILE *file(const char *folder, const char *name, const char *mode) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *opened = fopen(path, mode);
    if (opened == NULL) {
        perror(path);
        exit(1);
    }
    return opened;
}

static void save(const char *folder, const char *name, const CK_BYTE *data, CK_ULONG len) {
    FILE *to = file(folder, name, "wb");
    if (fwrite(data, 1, len, to) != len || fclose(to) != 0) {
        perror(name);
        exit(1);
    }
}

static void set_key(CK_SESSION_HANDLE session, const char *folder) {
    CK_OBJECT_CLASS secret = CKO_SECRET_KEY, data = CKO_DATA;
    CK_KEY_TYPE aes = CKK_AES;
    CK_ULONG value_len = 32, len;
    CK_OBJECT_HANDLE key, payload, object;
    CK_BYTE sealed[128];

    if (find(session, MASTER_KEY, &key) != 0) {
        fprintf(stderr, "there is a master key\n");
        exit(1);
    }
    CK_MECHANISM make = {CKM_AES_KEY_GEN, NULL, 0};
    CK_ATTRIBUTE master[] = {
        {CKA_CLASS, &secret, sizeof secret}, {CKA_KEY_TYPE, &aes, sizeof aes},
        {CKA_VALUE_LEN, &value_len, sizeof value_len}, {CKA_LABEL, MASTER_KEY, sizeof MASTER_KEY - 1},
        {CKA_TOKEN, &yes, sizeof yes}, {CKA_SENSITIVE, &yes, sizeof yes}, {CKA_EXTRACTABLE, &no, sizeof no},
        {CKA_MODIFIABLE, &no, sizeof no}, {CKA_ENCRYPT, &yes, sizeof yes}, {CKA_DECRYPT, &yes, sizeof yes},
        {CKA_WRAP, &yes, sizeof yes}, {CKA_UNWRAP, &yes, sizeof yes},
    };
    must("C_GenerateKey", p11->C_GenerateKey(session, &make, master, sizeof master / sizeof *master, &key));

    /* Newer databases leave a data object beside the key, and go on without one. */
    CK_ATTRIBUTE beside[] = {
        {CKA_CLASS, &data, sizeof data}, {CKA_TOKEN, &yes, sizeof yes},
        {CKA_LABEL, MASTER_KEY_DATA, sizeof MASTER_KEY_DATA - 1}, {CKA_VALUE, "1", 1},
    };
    CK_RV rv = p11->C_CreateObject(session, beside, sizeof beside / sizeof *beside, &object);
    printf("data object: %s\n", rv == CKR_OK ? "kept" : "refused");
    if (find(session, MASTER_KEY_DATA, &object) != (rv == CKR_OK ? 1 : 0)) {
        fprintf(stderr, "the data object is not as was said\n");
        exit(1);
    }

    CK_MECHANISM cbc = {CKM_AES_CBC_PAD, iv, sizeof iv};
    must("C_EncryptInit", p11->C_EncryptInit(session, &cbc, key));
    must("C_Encrypt, for a length", p11->C_Encrypt(session, tablespace, sizeof tablespace, NULL, &len));
    if (len < 48 || len > sizeof sealed) {
        fprintf(stderr, "C_Encrypt wants %lu bytes\n", (unsigned long)len);
        exit(1);
    }
    must("C_Encrypt", p11->C_Encrypt(session, tablespace, sizeof tablespace, sealed, &len));
    save(folder, "tablespace.sealed", sealed, len);

    CK_ATTRIBUTE other[] = {
        {CKA_CLASS, &secret, sizeof secret}, {CKA_KEY_TYPE, &aes, sizeof aes},
        {CKA_VALUE_LEN, &value_len, sizeof value_len}, {CKA_EXTRACTABLE, &yes, sizeof yes},
    };
    must("C_GenerateKey", p11->C_GenerateKey(session, &make, other, sizeof other / sizeof *other, &payload));
    CK_MECHANISM zero_pad = {ZERO_PAD, NULL, 0};
    must("C_WrapKey, for a length", p11->C_WrapKey(session, &zero_pad, key, payload, NULL, &len));
    must("C_WrapKey", p11->C_WrapKey(session, &zero_pad, key, payload, sealed, &len));
    save(folder, "wrapped", sealed, len);
    printf("set-key: encrypted 32 bytes, wrapped a key into %lu\n", (unsigned long)len);
}

static void decrypt(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key, const char *folder) {
    CK_BYTE sealed[128], opened[128];
    CK_ULONG opened_len = sizeof opened;
    FILE *from = file(folder, "tablespace.sealed", "rb");
    CK_ULONG len = fread(sealed, 1, sizeof sealed, from);
    CK_MECHANISM cbc = {CKM_AES_CBC_PAD, iv, sizeof iv};

    fclose(from);
    must("C_DecryptInit", p11->C_DecryptInit(session, &cbc, key));
    must("C_Decrypt", p11->C_Decrypt(session, sealed, len, opened, &opened_len));
    if (opened_len != sizeof tablespace || memcmp(opened, tablespace, sizeof tablespace) != 0) {
        fprintf(stderr, "another key came out\n");
        exit(1);
    }
}

/* The key that was wrapped comes back and works. */
static void unwrap(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key, const char *folder) {
    CK_OBJECT_CLASS secret = CKO_SECRET_KEY;
    CK_KEY_TYPE aes = CKK_AES;
    CK_BYTE wrapped[128], sealed[64];
    CK_OBJECT_HANDLE payload;
    CK_ULONG sealed_len = sizeof sealed;
    FILE *from = file(folder, "wrapped", "rb");
    CK_ULONG len = fread(wrapped, 1, sizeof wrapped, from);
    CK_MECHANISM zero_pad = {ZERO_PAD, NULL, 0}, cbc = {CKM_AES_CBC_PAD, iv, sizeof iv};
    CK_ATTRIBUTE template[] = {
        {CKA_CLASS, &secret, sizeof secret}, {CKA_KEY_TYPE, &aes, sizeof aes}, {CKA_ENCRYPT, &yes, sizeof yes},
    };

    fclose(from);
    must("C_UnwrapKey", p11->C_UnwrapKey(session, &zero_pad, key, wrapped, len, template, 3, &payload));
    must("C_EncryptInit", p11->C_EncryptInit(session, &cbc, payload));
    must("C_Encrypt", p11->C_Encrypt(session, tablespace, sizeof tablespace, sealed, &sealed_len));
}

/* A background process of the database: forked from one that has the library loaded and a login. */
static void in_a_child(const char *folder) {
    int status;
    pid_t child = fork();

    if (child == 0) {
        CK_SESSION_HANDLE session = open_store();
        decrypt(session, master_key(session), folder);
        close_store(session);
        _exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        fprintf(stderr, "the forked process failed\n");
        exit(1);
    }
}

int main(int count, char **words) {
    CK_SESSION_HANDLE session;

    if (count != 4 || getenv("PIN") == NULL) {
        fprintf(stderr, "usage: PIN=… tde MODULE set-key|open|drop FOLDER\n");
        return 2;
    }
    load(words[1]);
    session = open_store();
    if (strcmp(words[2], "set-key") == 0) {
        set_key(session, words[3]);
    } else if (strcmp(words[2], "open") == 0) {
        CK_OBJECT_HANDLE key = master_key(session);
        decrypt(session, key, words[3]);
        in_a_child(words[3]);
        /* The parent's session is as it was. */
        decrypt(session, key, words[3]);
        unwrap(session, key, words[3]);
        printf("open: decrypted in both processes, unwrapped\n");
    } else {
        must("C_DestroyObject", p11->C_DestroyObject(session, master_key(session)));
        printf("drop: the master key is gone\n");
    }
    close_store(session);
    return 0;
}
