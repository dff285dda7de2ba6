/* Sessions, logins, threads and forks of the PKCS #11 library against a cluster.
 *
 * sessions LIBRARY STORY PIN [NUMBER]: each story ends the program with 1 where something is not as it must be.
 */
#define _DEFAULT_SOURCE
#include "check.h"
#include "cloudhsm_pkcs11_vendor_defs.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RW (CKF_SERIAL_SESSION | CKF_RW_SESSION)

static unsigned char *pin;
static CK_ULONG pin_len;
static long number;
static const char *other_pin;

static CK_SESSION_HANDLE opened(CK_FLAGS flags) {
    CK_SESSION_HANDLE session;
    CHECK(p11->C_OpenSession(FIRST_SLOT, flags, NULL, NULL, &session), CKR_OK);
    return session;
}

static CK_RV login(CK_SESSION_HANDLE session) { return p11->C_Login(session, CKU_USER, pin, pin_len); }

static CK_STATE state(CK_SESSION_HANDLE session) {
    CK_SESSION_INFO info;
    CHECK(p11->C_GetSessionInfo(session, &info), CKR_OK);
    return info.state;
}

/* A pair on P-256 that lives as long as the session; the private key. */
static CK_OBJECT_HANDLE made(CK_SESSION_HANDLE session) {
    unsigned char p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
    CK_BBOOL yes = CK_TRUE;
    CK_MECHANISM mechanism = {CKM_EC_KEY_PAIR_GEN, NULL, 0};
    CK_ATTRIBUTE public[2], private[1];
    CK_OBJECT_HANDLE handles[2];
    public[0].type = CKA_EC_PARAMS;
    public[0].pValue = p256;
    public[0].ulValueLen = sizeof p256;
    public[1].type = CKA_VERIFY;
    private[0].type = CKA_SIGN;
    public[1].pValue = private[0].pValue = &yes;
    public[1].ulValueLen = private[0].ulValueLen = 1;
    CHECK(p11->C_GenerateKeyPair(session, &mechanism, public, 2, private, 1, &handles[0], &handles[1]), CKR_OK);
    return handles[1];
}

static CK_RV sign(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key) {
    unsigned char digest[32] = "thirty-two bytes, or so it says", signature[64];
    CK_ULONG len = sizeof signature;
    CK_MECHANISM mechanism = {CKM_ECDSA, NULL, 0};
    CK_RV answered = p11->C_SignInit(session, &mechanism, key);
    return answered == CKR_OK ? p11->C_Sign(session, digest, sizeof digest, signature, &len) : answered;
}

/* One login for all sessions of the slot. */
static void logins(void) {
    CK_SESSION_HANDLE one = opened(RW), two = opened(CKF_SERIAL_SESSION), three;
    CK_RV (*login_user)(CK_SESSION_HANDLE, CK_USER_TYPE, unsigned char *, CK_ULONG, unsigned char *, CK_ULONG);
    unsigned char wrong[] = "crypto_user:not the password", *colon = memchr(pin, ':', pin_len);
    CK_TOKEN_INFO token;

    symbol("C_LoginUser", &login_user);
    CHECK(p11->C_GetTokenInfo(FIRST_SLOT, &token), CKR_OK);
    MUST(memcmp(token.label, "hsm1                            ", 32) == 0);
    MUST((token.flags & CKF_LOGIN_REQUIRED) && (token.flags & CKF_USER_PIN_INITIALIZED) && (token.flags & CKF_RNG));
    MUST((token.flags & CKF_TOKEN_INITIALIZED) && !(token.flags & CKF_WRITE_PROTECTED));
    MUST(token.ulMaxSessionCount == 1024 && token.ulSessionCount == 2 && token.ulRwSessionCount == 1);
    printf("%.16s\n%.16s\n", (char *)token.model, (char *)token.serialNumber);

    MUST(state(one) == CKS_RW_PUBLIC_SESSION && state(two) == CKS_RO_PUBLIC_SESSION);
    CHECK(p11->C_Login(one, CKU_USER, wrong, sizeof wrong - 1), CKR_PIN_INCORRECT);
    MUST(state(one) == CKS_RW_PUBLIC_SESSION);
    CHECK(login(one), CKR_OK);
    MUST(state(one) == CKS_RW_USER_FUNCTIONS && state(two) == CKS_RO_USER_FUNCTIONS);
    CHECK(login(one), CKR_USER_ALREADY_LOGGED_IN);
    CHECK(login(two), CKR_USER_ALREADY_LOGGED_IN);
    three = opened(RW);
    MUST(state(three) == CKS_RW_USER_FUNCTIONS);
    /* The login is the slot's, not that of the session that made it. */
    CHECK(p11->C_CloseSession(one), CKR_OK);
    MUST(state(two) == CKS_RO_USER_FUNCTIONS);
    CHECK(sign(two, made(two)), CKR_OK);
    CHECK(p11->C_Logout(three), CKR_OK);
    MUST(state(two) == CKS_RO_PUBLIC_SESSION && state(three) == CKS_RW_PUBLIC_SESSION);
    CHECK(p11->C_Logout(two), CKR_USER_NOT_LOGGED_IN);
    CHECK(login_user(two, CKU_USER, colon + 1, pin_len - (CK_ULONG)(colon + 1 - pin), pin, (CK_ULONG)(colon - pin)), CKR_OK);
    MUST(state(three) == CKS_RW_USER_FUNCTIONS);
    /* With the last session ends the login. */
    CHECK(p11->C_CloseSession(two), CKR_OK);
    CHECK(p11->C_CloseSession(three), CKR_OK);
    one = opened(RW);
    MUST(state(one) == CKS_RW_PUBLIC_SESSION);
    CHECK(login(one), CKR_OK);
    CHECK(p11->C_CloseAllSessions(FIRST_SLOT), CKR_OK);
    one = opened(RW);
    MUST(state(one) == CKS_RW_PUBLIC_SESSION);
    CHECK(login(one), CKR_OK);
    CHECK(p11->C_Finalize(NULL), CKR_OK);
    CHECK(p11->C_Initialize(NULL), CKR_OK);
    one = opened(RW);
    MUST(state(one) == CKS_RW_PUBLIC_SESSION);
}

/* What dies with a session, and what with the login. */
static void lives(void) {
    CK_SESSION_HANDLE one = opened(RW), two = opened(RW);
    CK_OBJECT_HANDLE of_one, of_two;
    CK_MECHANISM ecdsa = {CKM_ECDSA, NULL, 0}, sha256 = {CKM_SHA256, NULL, 0};
    unsigned char digest[32] = {0}, signature[64];
    CK_ULONG len = sizeof signature, i;

    CHECK(login(one), CKR_OK);
    of_one = made(one);
    of_two = made(two);
    CHECK(sign(two, of_one), CKR_OK);
    CHECK(p11->C_SignInit(two, &ecdsa, of_two), CKR_OK);
    CHECK(p11->C_CloseSession(one), CKR_OK);
    CHECK(sign(two, of_one), CKR_OPERATION_ACTIVE);
    CHECK(p11->C_Sign(two, digest, sizeof digest, signature, &len), CKR_OK);
    CHECK(sign(two, of_one), CKR_KEY_HANDLE_INVALID);
    CHECK(sign(two, of_two), CKR_OK);
    CHECK(p11->C_DestroyObject(two, of_one), CKR_OBJECT_HANDLE_INVALID);
    /* What is begun with a key ends at logout. */
    CHECK(p11->C_SignInit(two, &ecdsa, of_two), CKR_OK);
    CHECK(p11->C_DigestInit(two, &sha256), CKR_OK);
    CHECK(p11->C_Logout(two), CKR_OK);
    CHECK(p11->C_Sign(two, digest, sizeof digest, signature, &len), CKR_OPERATION_NOT_INITIALIZED);
    len = sizeof digest;
    CHECK(p11->C_Digest(two, digest, sizeof digest, digest, &len), CKR_OK);
    CHECK(login(two), CKR_OK);
    CHECK(sign(two, of_two), CKR_KEY_HANDLE_INVALID);
    /* A thousand sessions come and go with their keys. */
    for (i = 0; i < 20; i++) {
        one = opened(RW);
        CHECK(sign(one, made(one)), CKR_OK);
        CHECK(p11->C_CloseSession(one), CKR_OK);
    }
}

static CK_ULONG won, signatures;
static CK_OBJECT_HANDLE shared_key;
static pthread_barrier_t together;

static void *competes(void *unused) {
    CK_SESSION_HANDLE session = opened(RW);
    CK_RV answered;
    pthread_barrier_wait(&together);
    answered = login(session);
    if (answered == CKR_OK)
        __atomic_add_fetch(&won, 1, __ATOMIC_RELAXED);
    else
        MUST(answered == CKR_USER_ALREADY_LOGGED_IN);
    MUST(state(session) == CKS_RW_USER_FUNCTIONS);
    return unused;
}

static void *signs(void *unused) {
    CK_SESSION_HANDLE session = opened(RW);
    int i;
    for (i = 0; i < 3; i++) {
        CHECK(sign(session, shared_key), CKR_OK);
        __atomic_add_fetch(&signatures, 1, __ATOMIC_RELAXED);
    }
    CHECK(p11->C_CloseSession(session), CKR_OK);
    return unused;
}

static void run(long count, void *(*body)(void *)) {
    pthread_t *threads = calloc((size_t)count, sizeof *threads);
    pthread_attr_t small;
    long i;
    MUST(threads != NULL && pthread_attr_init(&small) == 0 && pthread_attr_setstacksize(&small, 256 * 1024) == 0);
    for (i = 0; i < count; i++)
        MUST(pthread_create(&threads[i], &small, body, NULL) == 0);
    for (i = 0; i < count; i++)
        MUST(pthread_join(threads[i], NULL) == 0);
    free(threads);
}

/* Of many threads that log in one wins; then as many threads as asked for sign at once, each in its own session. */
static void threads(void) {
    CK_SESSION_HANDLE session;
    int round;
    MUST(pthread_barrier_init(&together, NULL, 16) == 0);
    for (round = 0; round < 10; round++) {
        won = 0;
        run(16, competes);
        MUST(won == 1);
        CHECK(p11->C_CloseAllSessions(FIRST_SLOT), CKR_OK);
    }
    session = opened(RW);
    CHECK(login(session), CKR_OK);
    shared_key = made(session);
    run(number, signs);
    MUST(signatures == (CK_ULONG)number * 3);
    CHECK(sign(session, shared_key), CKR_OK);
}

static int over;

/* Signs in sessions that others close, and logs in where others log out: each answer is one that the standard has. */
static void *meddles(void *unused) {
    while (!__atomic_load_n(&over, __ATOMIC_ACQUIRE)) {
        CK_SESSION_HANDLE session = opened(RW);
        CK_RV answered = login(session);
        MUST(answered == CKR_OK || answered == CKR_USER_ALREADY_LOGGED_IN || answered == CKR_SESSION_HANDLE_INVALID);
        answered = sign(session, shared_key);
        MUST(answered == CKR_OK || answered == CKR_KEY_HANDLE_INVALID || answered == CKR_USER_NOT_LOGGED_IN ||
             answered == CKR_OPERATION_NOT_INITIALIZED || answered == CKR_SESSION_HANDLE_INVALID);
        answered = p11->C_CloseSession(session);
        MUST(answered == CKR_OK || answered == CKR_SESSION_HANDLE_INVALID);
    }
    return unused;
}

static void *upsets(void *unused) {
    int i;
    for (i = 0; i < 60; i++) {
        CK_SESSION_HANDLE session = opened(RW);
        CK_RV answered = login(session);
        MUST(answered == CKR_OK || answered == CKR_USER_ALREADY_LOGGED_IN || answered == CKR_SESSION_HANDLE_INVALID);
        answered = p11->C_Logout(session);
        MUST(answered == CKR_OK || answered == CKR_USER_NOT_LOGGED_IN || answered == CKR_SESSION_HANDLE_INVALID);
        if (i % 3 == 0)
            CHECK(p11->C_CloseAllSessions(FIRST_SLOT), CKR_OK);
    }
    __atomic_store_n(&over, 1, __ATOMIC_RELEASE);
    return unused;
}

static void *either(void *unused) {
    static int first;
    return __atomic_fetch_add(&first, 1, __ATOMIC_RELAXED) == 0 ? upsets(unused) : meddles(unused);
}

static void trouble(void) {
    run(9, either);
    CHECK(p11->C_CloseAllSessions(FIRST_SLOT), CKR_OK);
    CHECK(login(opened(RW)), CKR_OK);
    CHECK(sign(opened(RW), made(opened(RW))), CKR_OK);
}

static void *signs_on(void *unused) {
    CK_SESSION_HANDLE session = opened(RW);
    while (!__atomic_load_n(&over, __ATOMIC_ACQUIRE)) {
        CHECK(sign(session, shared_key), CKR_OK);
        __atomic_add_fetch(&signatures, 1, __ATOMIC_RELAXED);
    }
    return unused;
}

/* The TCP sockets of this process. */
static int sockets(void) {
    int descriptor, count = 0;
    for (descriptor = 0; descriptor < 1024; descriptor++) {
        struct sockaddr_storage peer;
        socklen_t len = sizeof peer;
        count += getpeername(descriptor, (struct sockaddr *)&peer, &len) == 0 && peer.ss_family == AF_INET;
    }
    return count;
}

static void child(CK_SESSION_HANDLE inherited) {
    CK_SESSION_HANDLE own;
    MUST(sockets() > 0);
    CHECK(sign(inherited, shared_key), CKR_CRYPTOKI_NOT_INITIALIZED);
    /* The child's copies are closed, and the parent's connections go on. */
    MUST(sockets() == 0);
    CHECK(p11->C_Initialize(NULL), CKR_OK);
    own = opened(RW);
    MUST(state(own) == CKS_RW_PUBLIC_SESSION);
    CHECK(login(own), CKR_OK);
    CHECK(sign(own, made(own)), CKR_OK);
    CHECK(p11->C_Finalize(NULL), CKR_OK);
}

/* Children of a program whose threads sign: each begins anew, and the parent goes on. */
static void forks(void) {
    CK_SESSION_HANDLE session = opened(RW);
    pthread_t busy[4];
    int i, status;
    pid_t children[10];

    CHECK(login(session), CKR_OK);
    shared_key = made(session);
    for (i = 0; i < 4; i++)
        MUST(pthread_create(&busy[i], NULL, signs_on, NULL) == 0);
    for (i = 0; __atomic_load_n(&signatures, __ATOMIC_RELAXED) < 500; i++) {
        MUST(i < 30000);
        usleep(1000);
    }
    for (i = 0; i < 10; i++) {
        children[i] = fork();
        MUST(children[i] >= 0);
        if (children[i] == 0) {
            child(session);
            _exit(0);
        }
    }
    for (i = 0; i < 10; i++)
        MUST(waitpid(children[i], &status, 0) == children[i] && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(sign(session, shared_key), CKR_OK);
    __atomic_store_n(&over, 1, __ATOMIC_RELEASE);
    for (i = 0; i < 4; i++)
        MUST(pthread_join(busy[i], NULL) == 0);
    MUST(signatures > 0);
}

static int is_slow;
static CK_ULONG slow_locks;

/* The library's AWS-LC finds this one before the C library's: whoever draws random bytes holds this lock, and where it is slow,
 * for so long that a fork meets it held. */
int pthread_rwlock_rdlock(pthread_rwlock_t *lock) {
    int taken;
    while ((taken = pthread_rwlock_tryrdlock(lock)) == EBUSY)
        sched_yield();
    if (__atomic_load_n(&is_slow, __ATOMIC_ACQUIRE)) {
        __atomic_add_fetch(&slow_locks, 1, __ATOMIC_RELAXED);
        usleep(1000);
    }
    return taken;
}

/* Draws random bytes of the library's own, with which it names each change that it asks for, and of the HSMs'. */
static void *draws_on(void *unused) {
    CK_SESSION_HANDLE session = opened(RW);
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_AES;
    CK_ULONG len = 32;
    CK_BBOOL yes = CK_TRUE;
    CK_BYTE bytes[24] = {0};
    CK_MECHANISM aes = {CKM_AES_KEY_GEN, NULL, 0}, unwraps = {CKM_CLOUDHSM_AES_KEY_WRAP_NO_PAD, NULL, 0};
    CK_ATTRIBUTE wrapping[] = {{CKA_VALUE_LEN, &len, sizeof len}, {CKA_UNWRAP, &yes, sizeof yes}};
    CK_ATTRIBUTE template[] = {{CKA_CLASS, &class, sizeof class}, {CKA_KEY_TYPE, &type, sizeof type}};
    CK_OBJECT_HANDLE key, none;

    CHECK(p11->C_GenerateKey(session, &aes, wrapping, 2, &key), CKR_OK);
    while (!__atomic_load_n(&over, __ATOMIC_ACQUIRE)) {
        CHECK(p11->C_GenerateRandom(session, bytes, sizeof bytes), CKR_OK);
        CHECK(p11->C_UnwrapKey(session, &unwraps, key, bytes, sizeof bytes, template, 2, &none),
              CKR_WRAPPED_KEY_INVALID);
    }
    return unused;
}

static int is_child;

/* LeakSanitizer, where it is in this program, asks before it looks: in a child it would look for threads that the parent has. */
int __lsan_is_turned_off(void) { return is_child; }

/* Children of a program whose threads draw random bytes, which end by `exit` and nothing else: none waits for a thread that it
 * has not. As many as asked for; those that have not ended some time after the last one began never will. */
static void exits(void) {
    CK_SESSION_HANDLE session = opened(RW);
    pthread_t busy[4];
    pid_t *children = calloc((size_t)number, sizeof *children);
    long i, waited, left = 0;
    int status;

    MUST(children != NULL);
    CHECK(login(session), CKR_OK);
    for (i = 0; i < 4; i++)
        MUST(pthread_create(&busy[i], NULL, draws_on, NULL) == 0);
    __atomic_store_n(&is_slow, 1, __ATOMIC_RELEASE);
    for (i = 0; __atomic_load_n(&slow_locks, __ATOMIC_RELAXED) < 20; i++) {
        MUST(i < 30000);
        usleep(1000);
    }
    for (i = 0; i < number; i++) {
        children[i] = fork();
        MUST(children[i] >= 0);
        if (children[i] == 0) {
            is_child = 1;
            exit(0);
        }
    }
    for (i = 0, waited = 0; i < number; i++) {
        pid_t ended = 0;
        while (waited < 20000 && (ended = waitpid(children[i], &status, WNOHANG)) == 0) {
            usleep(1000);
            waited++;
        }
        if (ended == 0) {
            kill(children[i], SIGKILL);
            MUST(waitpid(children[i], &status, 0) == children[i]);
            left++;
        } else
            MUST(ended == children[i] && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    if (left > 0)
        fprintf(stderr, "%ld children of %ld did not end\n", left, number);
    MUST(left == 0);
    __atomic_store_n(&over, 1, __ATOMIC_RELEASE);
    for (i = 0; i < 4; i++)
        MUST(pthread_join(busy[i], NULL) == 0);
    free(children);
}

/* Two clusters are two slots: each has its login, its sessions and its objects. */
static void clusters(void) {
    CK_SLOT_ID slots[2];
    CK_TOKEN_INFO tokens[2];
    CK_SESSION_HANDLE here, there;
    CK_OBJECT_HANDLE key;
    CK_ULONG count = 2, i;

    CHECK(p11->C_GetSlotList(CK_TRUE, slots, &count), CKR_OK);
    MUST(count == 2 && slots[0] == FIRST_SLOT && slots[1] == FIRST_SLOT + 1);
    for (i = 0; i < 2; i++) {
        CHECK(p11->C_GetTokenInfo(slots[i], &tokens[i]), CKR_OK);
        printf("%.32s%.16s\n", (char *)tokens[i].label, (char *)tokens[i].serialNumber);
    }
    CHECK(p11->C_OpenSession(slots[0], RW, NULL, NULL, &here), CKR_OK);
    CHECK(p11->C_OpenSession(slots[1], RW, NULL, NULL, &there), CKR_OK);
    CHECK(p11->C_Login(there, CKU_USER, pin, pin_len), CKR_PIN_INCORRECT);
    CHECK(login(here), CKR_OK);
    MUST(state(here) == CKS_RW_USER_FUNCTIONS && state(there) == CKS_RW_PUBLIC_SESSION);
    CHECK(p11->C_Login(there, CKU_USER, (unsigned char *)other_pin, strlen(other_pin)), CKR_OK);
    key = made(here);
    CHECK(sign(here, key), CKR_OK);
    CHECK(sign(there, key), CKR_KEY_HANDLE_INVALID);
    CHECK(p11->C_CloseAllSessions(slots[0]), CKR_OK);
    MUST(state(there) == CKS_RW_USER_FUNCTIONS);
    CHECK(sign(there, made(there)), CKR_OK);
}

/* Makes a token key, and tells what that answers. */
static void keeps(void) {
    CK_SESSION_HANDLE session = opened(RW);
    CK_OBJECT_HANDLE key;
    CK_MECHANISM mechanism = {CKM_AES_KEY_GEN, NULL, 0};
    CK_ULONG len = 32;
    CK_BBOOL yes = CK_TRUE;
    CK_ATTRIBUTE template[2];
    template[0].type = CKA_VALUE_LEN;
    template[0].pValue = &len;
    template[0].ulValueLen = sizeof len;
    template[1].type = CKA_TOKEN;
    template[1].pValue = &yes;
    template[1].ulValueLen = sizeof yes;
    CHECK(login(session), CKR_OK);
    printf("%lx\n", p11->C_GenerateKey(session, &mechanism, template, 2, &key));
}

static CK_ULONG longest_us;

/* Signs until told to end; each call must succeed. */
static void *loads(void *unused) {
    CK_SESSION_HANDLE session = opened(RW);
    while (!__atomic_load_n(&over, __ATOMIC_ACQUIRE)) {
        struct timespec begun, done;
        CK_ULONG took, longest;
        clock_gettime(CLOCK_MONOTONIC, &begun);
        CHECK(sign(session, shared_key), CKR_OK);
        clock_gettime(CLOCK_MONOTONIC, &done);
        took = (CK_ULONG)((done.tv_sec - begun.tv_sec) * 1000000 + (done.tv_nsec - begun.tv_nsec) / 1000);
        longest = __atomic_load_n(&longest_us, __ATOMIC_RELAXED);
        while (took > longest &&
               !__atomic_compare_exchange_n(&longest_us, &longest, took, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            continue;
        __atomic_add_fetch(&signatures, 1, __ATOMIC_RELAXED);
    }
    return unused;
}

/* Many threads sign; for each line of the input tells the number of signatures and the longest call since the last. */
static void load_of_threads(void) {
    CK_SESSION_HANDLE session = opened(RW);
    pthread_t threads[256];
    char line[64];
    long i;

    MUST(number <= 256);
    CHECK(login(session), CKR_OK);
    shared_key = made(session);
    for (i = 0; i < number; i++)
        MUST(pthread_create(&threads[i], NULL, loads, NULL) == 0);
    printf("ready\n");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin) != NULL) {
        printf("%lu %lu\n", __atomic_load_n(&signatures, __ATOMIC_RELAXED),
               __atomic_exchange_n(&longest_us, 0, __ATOMIC_RELAXED) / 1000);
        fflush(stdout);
    }
    __atomic_store_n(&over, 1, __ATOMIC_RELEASE);
    for (i = 0; i < number; i++)
        MUST(pthread_join(threads[i], NULL) == 0);
}

/* What making a certificate of the token answers. */
static CK_RV certificate(CK_SESSION_HANDLE session) {
    CK_OBJECT_CLASS class = CKO_CERTIFICATE;
    CK_CERTIFICATE_TYPE x509 = CKC_X_509;
    unsigned char subject[] = {0x30, 0x00}, der[] = {0x30, 0x03, 0x02, 0x01, 0x05};
    CK_ATTRIBUTE template[] = {{CKA_CLASS, &class, sizeof class}, {CKA_CERTIFICATE_TYPE, &x509, sizeof x509}, {CKA_SUBJECT, subject, sizeof subject}, {CKA_VALUE, der, sizeof der}};
    CK_OBJECT_HANDLE object;
    return p11->C_CreateObject(session, template, 4, &object);
}

/* What a search for certificates answers. */
static CK_RV searches(CK_SESSION_HANDLE session) {
    CK_OBJECT_CLASS class = CKO_CERTIFICATE;
    CK_ATTRIBUTE template[] = {{CKA_CLASS, &class, sizeof class}};
    CK_RV answered = p11->C_FindObjectsInit(session, template, 1);
    return answered == CKR_OK ? p11->C_FindObjectsFinal(session) : answered;
}

static CK_RV answer(const char *line, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key) {
    if (strcmp(line, "login\n") == 0)
        return login(session);
    if (strcmp(line, "logout\n") == 0)
        return p11->C_Logout(session);
    if (strcmp(line, "certificate\n") == 0)
        return certificate(session);
    if (strcmp(line, "search\n") == 0)
        return searches(session);
    return sign(session, key);
}

/* Logs in and, for each line of its input, tells its state and what the call answers that it names, or a signature. */
static void asked(void) {
    CK_SESSION_HANDLE session = opened(RW);
    CK_OBJECT_HANDLE key;
    char line[64];

    CHECK(login(session), CKR_OK);
    key = made(session);
    printf("ready\n");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin) != NULL) {
        CK_RV answered = answer(line, session, key);
        printf("%lx %lx\n", answered, state(session));
        fflush(stdout);
    }
}

/* What one user began when the HSMs end the login and another user logs in. */
static void outlived(void) {
    CK_SESSION_HANDLE session = opened(RW), other = opened(RW);
    CK_OBJECT_HANDLE key, found;
    CK_MECHANISM signature = {CKM_ECDSA_SHA256, NULL, 0}, hash = {CKM_SHA256, NULL, 0};
    CK_ULONG count;
    char line[16];

    CHECK(login(session), CKR_OK);
    key = made(session);
    CHECK(p11->C_FindObjectsInit(session, NULL, 0), CKR_OK);
    CHECK(p11->C_FindObjects(session, NULL, 9, &count), CKR_OK);
    MUST(count > 0);
    CHECK(p11->C_SignInit(session, &signature, key), CKR_OK);
    CHECK(p11->C_SignUpdate(session, (CK_BYTE_PTR) "part", 4), CKR_OK);
    CHECK(p11->C_DigestInit(session, &hash), CKR_OK);
    printf("ready\n");
    fflush(stdout);
    MUST(fgets(line, sizeof line, stdin) != NULL);
    CHECK(sign(other, key), CKR_USER_NOT_LOGGED_IN);
    CHECK(p11->C_Login(other, CKU_USER, (CK_UTF8CHAR_PTR)other_pin, strlen(other_pin)), CKR_OK);
    CHECK(p11->C_FindObjects(session, &found, 1, &count), CKR_OPERATION_NOT_INITIALIZED);
    CHECK(p11->C_SignUpdate(session, (CK_BYTE_PTR) "part", 4), CKR_OPERATION_NOT_INITIALIZED);
    CHECK(p11->C_DigestUpdate(session, (CK_BYTE_PTR) "part", 4), CKR_OK);
    CHECK(p11->C_SignInit(session, &signature, key), CKR_KEY_HANDLE_INVALID);
    printf("other\n");
    fflush(stdout);
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        void (*tell)(void);
    } stories[] = {{"logins", logins}, {"lives", lives}, {"threads", threads}, {"trouble", trouble}, {"forks", forks}, {"exits", exits}, {"asked", asked}, {"clusters", clusters}, {"keeps", keeps}, {"load", load_of_threads}, {"outlived", outlived}};
    size_t i;

    MUST(argc >= 4);
    load(argv[1]);
    pin = (unsigned char *)argv[3];
    pin_len = strlen(argv[3]);
    other_pin = argv[argc - 1];
    number = argc > 4 ? strtol(argv[4], NULL, 10) : 0;
    CHECK(p11->C_Initialize(NULL), CKR_OK);
    for (i = 0; i < sizeof stories / sizeof *stories; i++)
        if (strcmp(stories[i].name, argv[2]) == 0) {
            stories[i].tell();
            CHECK(p11->C_Finalize(NULL), CKR_OK);
            printf("done\n");
            return 0;
        }
    fprintf(stderr, "no story %s\n", argv[2]);
    return 2;
}
