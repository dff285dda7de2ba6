/* What needs no cluster: lists, interfaces, initialising, slots, sessions, forks, unloading. */
#define _DEFAULT_SOURCE
#include "check.h"

#include <pthread.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#define SESSIONS_MAX 1024

static const char *path;
static CK_ULONG clusters;

/* Every pointer after the version. */
static void all_there(void *list, size_t functions) {
    size_t i;
    for (i = 0; i < functions; i++) {
        void *function;
        memcpy(&function, (char *)list + sizeof(void *) * (i + 1), sizeof function);
        MUST(function != NULL);
    }
}

static void lists_and_interfaces(void) {
    CK_RV (*interface_list)(CK_INTERFACE *, CK_ULONG *);
    CK_RV (*interface)(CK_UTF8CHAR *, CK_VERSION *, CK_INTERFACE **, CK_FLAGS);
    CK_INTERFACE all[4], *one;
    CK_FUNCTION_LIST_3_0 *newer;
    CK_ULONG count = 0;
    CK_VERSION version = {2, 40};
    CK_INFO info;
    unsigned char standard[] = "PKCS 11", other[] = "Vendor";

    CHECK(p11->C_GetFunctionList(NULL), CKR_ARGUMENTS_BAD);
    MUST(p11->version.major == 2 && p11->version.minor == 40);
    all_there(p11, 68);
    symbol("C_GetInterfaceList", &interface_list);
    symbol("C_GetInterface", &interface);
    CHECK(interface_list(NULL, NULL), CKR_ARGUMENTS_BAD);
    CHECK(interface_list(NULL, &count), CKR_OK);
    MUST(count == 2);
    count = 1;
    CHECK(interface_list(all, &count), CKR_BUFFER_TOO_SMALL);
    MUST(count == 2);
    count = 4;
    CHECK(interface_list(all, &count), CKR_OK);
    MUST(count == 2 && strcmp((char *)all[0].pInterfaceName, "PKCS 11") == 0 && all[0].flags == 0);

    CHECK(interface(NULL, NULL, &one, 0), CKR_OK);
    newer = one->pFunctionList;
    MUST(newer->version.major == 3 && newer->version.minor == 0);
    all_there(newer, 92);
    CHECK(interface(standard, &version, &one, 0), CKR_OK);
    MUST(one->pFunctionList == (void *)p11);
    version.minor = 30;
    CHECK(interface(standard, &version, &one, 0), CKR_FUNCTION_FAILED);
    CHECK(interface(other, NULL, &one, 0), CKR_FUNCTION_FAILED);
    CHECK(interface(NULL, NULL, &one, CKF_INTERFACE_FORK_SAFE), CKR_FUNCTION_FAILED);
    CHECK(interface(NULL, NULL, NULL, 0), CKR_ARGUMENTS_BAD);

    CHECK(p11->C_Initialize(NULL), CKR_OK);
    CHECK(p11->C_GetInfo(NULL), CKR_ARGUMENTS_BAD);
    CHECK(p11->C_GetInfo(&info), CKR_OK);
    MUST(info.cryptokiVersion.major == 2 && info.cryptokiVersion.minor == 40 && info.flags == 0);
    MUST(memcmp(info.manufacturerID, "CloudHSM                        ", 32) == 0);
    MUST(memcmp(info.libraryDescription, "CloudHSM PKCS#11                ", 32) == 0);
    CHECK(newer->C_GetInfo(&info), CKR_OK);
    MUST(info.cryptokiVersion.major == 3 && info.cryptokiVersion.minor == 0);
    CHECK(newer->C_MessageSignInit(1, NULL, 1), CKR_FUNCTION_NOT_SUPPORTED);
    CHECK(newer->C_LoginUser(1, CKU_USER, NULL, 0, NULL, 0), CKR_SESSION_HANDLE_INVALID);
    CHECK(p11->C_Finalize(NULL), CKR_OK);
}

static CK_RV create_mutex(void **mutex) {
    (void)mutex;
    abort();
}

static CK_RV use_mutex(void *mutex) {
    (void)mutex;
    abort();
}

static void initializing(void) {
    CK_C_INITIALIZE_ARGS args;
    int something;
    CK_INFO info;

    CHECK(p11->C_GetInfo(&info), CKR_CRYPTOKI_NOT_INITIALIZED);
    CHECK(p11->C_Finalize(NULL), CKR_CRYPTOKI_NOT_INITIALIZED);
    memset(&args, 0, sizeof args);
    args.pReserved = &something;
    CHECK(p11->C_Initialize(&args), CKR_ARGUMENTS_BAD);
    args.pReserved = NULL;
    args.CreateMutex = create_mutex;
    CHECK(p11->C_Initialize(&args), CKR_ARGUMENTS_BAD);
    args.DestroyMutex = args.LockMutex = args.UnlockMutex = use_mutex;
    CHECK(p11->C_Initialize(&args), CKR_CANT_LOCK);
    /* The application's functions are not used where the operating system's may be. */
    args.flags = CKF_OS_LOCKING_OK | CKF_LIBRARY_CANT_CREATE_OS_THREADS;
    CHECK(p11->C_Initialize(&args), CKR_OK);
    CHECK(p11->C_Initialize(&args), CKR_CRYPTOKI_ALREADY_INITIALIZED);
    CHECK(p11->C_Finalize(&something), CKR_ARGUMENTS_BAD);
    CHECK(p11->C_GetInfo(&info), CKR_OK);
    CHECK(p11->C_Finalize(NULL), CKR_OK);
    memset(&args, 0, sizeof args);
    CHECK(p11->C_Initialize(&args), CKR_OK);
    CHECK(p11->C_Finalize(NULL), CKR_OK);
}

static void slots(void) {
    CK_SLOT_ID ids[8];
    CK_SLOT_INFO info;
    CK_ULONG count = 77, i;

    CHECK(p11->C_Initialize(NULL), CKR_OK);
    CHECK(p11->C_GetSlotList(CK_TRUE, NULL, NULL), CKR_ARGUMENTS_BAD);
    CHECK(p11->C_GetSlotList(CK_TRUE, NULL, &count), CKR_OK);
    MUST(count == clusters);
    count = clusters - 1;
    CHECK(p11->C_GetSlotList(CK_TRUE, ids, &count), CKR_BUFFER_TOO_SMALL);
    MUST(count == clusters);
    CHECK(p11->C_GetSlotList(CK_TRUE, ids, &count), CKR_OK);
    for (i = 0; i < clusters; i++) {
        MUST(ids[i] == FIRST_SLOT + i);
        CHECK(p11->C_GetSlotInfo(ids[i], &info), CKR_OK);
        MUST((info.flags & CKF_TOKEN_PRESENT) != 0 && (info.flags & CKF_REMOVABLE_DEVICE) == 0);
        printf("%.64s\n", (char *)info.slotDescription);
    }
    CHECK(p11->C_GetSlotInfo(FIRST_SLOT + clusters, &info), CKR_SLOT_ID_INVALID);
    CHECK(p11->C_GetSlotInfo(0, &info), CKR_SLOT_ID_INVALID);
    CHECK(p11->C_GetSlotInfo(FIRST_SLOT, NULL), CKR_ARGUMENTS_BAD);
    CHECK(p11->C_WaitForSlotEvent(CKF_DONT_BLOCK, ids, NULL), CKR_NO_EVENT);
    CHECK(p11->C_WaitForSlotEvent(0, ids, NULL), CKR_FUNCTION_NOT_SUPPORTED);
    CHECK(p11->C_Finalize(NULL), CKR_OK);
}

static CK_RV notify(CK_SESSION_HANDLE session, CK_NOTIFICATION event, void *application) {
    (void)session;
    (void)event;
    (void)application;
    abort();
}

static void sessions(void) {
    CK_SESSION_HANDLE handles[SESSIONS_MAX], one, last;
    CK_SESSION_INFO info;
    CK_TOKEN_INFO token;
    CK_ULONG i;

    CHECK(p11->C_OpenSession(FIRST_SLOT, CKF_SERIAL_SESSION, NULL, NULL, &one), CKR_CRYPTOKI_NOT_INITIALIZED);
    CHECK(p11->C_Initialize(NULL), CKR_OK);
    CHECK(p11->C_OpenSession(FIRST_SLOT, CKF_RW_SESSION, NULL, NULL, &one), CKR_SESSION_PARALLEL_NOT_SUPPORTED);
    CHECK(p11->C_OpenSession(1, CKF_SERIAL_SESSION, NULL, NULL, &one), CKR_SLOT_ID_INVALID);
    CHECK(p11->C_OpenSession(FIRST_SLOT, CKF_SERIAL_SESSION, NULL, NULL, NULL), CKR_ARGUMENTS_BAD);
    for (i = 0; i < SESSIONS_MAX; i++) {
        CK_FLAGS rw = i % 2 ? CKF_RW_SESSION : 0;
        CHECK(p11->C_OpenSession(FIRST_SLOT, CKF_SERIAL_SESSION | rw, handles, notify, &handles[i]), CKR_OK);
        MUST(handles[i] != CK_INVALID_HANDLE);
    }
    CHECK(p11->C_OpenSession(FIRST_SLOT, CKF_SERIAL_SESSION, NULL, NULL, &one), CKR_SESSION_COUNT);
    /* The limit is the application's, whatever the slot. */
    if (clusters > 1)
        CHECK(p11->C_OpenSession(FIRST_SLOT + 1, CKF_SERIAL_SESSION, NULL, NULL, &one), CKR_SESSION_COUNT);
    CHECK(p11->C_GetSessionInfo(handles[0], &info), CKR_OK);
    MUST(info.slotID == FIRST_SLOT && info.state == CKS_RO_PUBLIC_SESSION && info.flags == CKF_SERIAL_SESSION);
    CHECK(p11->C_GetSessionInfo(handles[1], &info), CKR_OK);
    MUST(info.state == CKS_RW_PUBLIC_SESSION && info.flags == (CKF_SERIAL_SESSION | CKF_RW_SESSION));
    CHECK(p11->C_GetSessionInfo(handles[1], NULL), CKR_ARGUMENTS_BAD);
    CHECK(p11->C_CloseSession(handles[3]), CKR_OK);
    CHECK(p11->C_CloseSession(handles[3]), CKR_SESSION_HANDLE_INVALID);
    CHECK(p11->C_GetSessionInfo(handles[3], &info), CKR_SESSION_HANDLE_INVALID);
    CHECK(p11->C_OpenSession(FIRST_SLOT, CKF_SERIAL_SESSION, NULL, NULL, &last), CKR_OK);
    for (i = 0; i < SESSIONS_MAX; i++)
        MUST(last != handles[i]);
    CHECK(p11->C_Logout(last), CKR_USER_NOT_LOGGED_IN);
    CHECK(p11->C_Login(last, CKU_SO, (CK_UTF8CHAR *)"a:b", 3), CKR_USER_TYPE_INVALID);
    CHECK(p11->C_Login(last, CKU_CONTEXT_SPECIFIC, (CK_UTF8CHAR *)"a:b", 3), CKR_OPERATION_NOT_INITIALIZED);
    CHECK(p11->C_Login(last, 77, (CK_UTF8CHAR *)"a:b", 3), CKR_USER_TYPE_INVALID);
    CHECK(p11->C_Login(last, CKU_USER, NULL, 0), CKR_ARGUMENTS_BAD);
    CHECK(p11->C_Login(last, CKU_USER, (CK_UTF8CHAR *)"", 0), CKR_PIN_LEN_RANGE);
    CHECK(p11->C_Login(last, CKU_USER, (CK_UTF8CHAR *)"1234", 4), CKR_PIN_INCORRECT);
    CHECK(p11->C_Login(last, CKU_USER, (CK_UTF8CHAR *)"x", CK_UNAVAILABLE_INFORMATION), CKR_ARGUMENTS_BAD);
    /* Nobody listens where the configuration leads to. */
    CHECK(p11->C_Login(last, CKU_USER, (CK_UTF8CHAR *)"alice:hunter22", 14), CKR_DEVICE_ERROR);
    CHECK(p11->C_GetTokenInfo(FIRST_SLOT, &token), CKR_DEVICE_ERROR);
    CHECK(p11->C_GetMechanismList(FIRST_SLOT, NULL, &i), CKR_DEVICE_ERROR);
    CHECK(p11->C_GetFunctionStatus(last), CKR_FUNCTION_NOT_PARALLEL);
    CHECK(p11->C_CancelFunction(last), CKR_FUNCTION_NOT_PARALLEL);
    CHECK(p11->C_InitToken(FIRST_SLOT, NULL, 0, NULL), CKR_FUNCTION_NOT_SUPPORTED);
    CHECK(p11->C_SetPIN(last, NULL, 0, NULL, 0), CKR_FUNCTION_NOT_SUPPORTED);
    CHECK(p11->C_CloseAllSessions(1), CKR_SLOT_ID_INVALID);
    CHECK(p11->C_CloseAllSessions(FIRST_SLOT), CKR_OK);
    CHECK(p11->C_GetSessionInfo(last, &info), CKR_SESSION_HANDLE_INVALID);
    CHECK(p11->C_Finalize(NULL), CKR_OK);
    CHECK(p11->C_Initialize(NULL), CKR_OK);
    CHECK(p11->C_GetSessionInfo(last, &info), CKR_SESSION_HANDLE_INVALID);
    CHECK(p11->C_Finalize(NULL), CKR_OK);
}

/* Runs in a child, and gives what it ended with. */
static int in_child(void (*body)(CK_SESSION_HANDLE), CK_SESSION_HANDLE session) {
    int status;
    pid_t child = fork();
    MUST(child >= 0);
    if (child == 0) {
        body(session);
        _exit(7);
    }
    MUST(waitpid(child, &status, 0) == child && WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void grandchild(CK_SESSION_HANDLE session) {
    CK_SESSION_INFO info;
    CHECK(p11->C_GetSessionInfo(session, &info), CKR_CRYPTOKI_NOT_INITIALIZED);
}

static void child(CK_SESSION_HANDLE session) {
    CK_SESSION_INFO info;
    CK_FUNCTION_LIST *list;
    CK_SESSION_HANDLE own;
    CK_ULONG count;

    CHECK(p11->C_GetSessionInfo(session, &info), CKR_CRYPTOKI_NOT_INITIALIZED);
    CHECK(p11->C_GetSlotList(CK_TRUE, NULL, &count), CKR_CRYPTOKI_NOT_INITIALIZED);
    CHECK(p11->C_CloseSession(session), CKR_CRYPTOKI_NOT_INITIALIZED);
    CHECK(p11->C_Finalize(NULL), CKR_CRYPTOKI_NOT_INITIALIZED);
    CHECK(p11->C_GetFunctionList(&list), CKR_OK);
    MUST(in_child(grandchild, session) == 7);
    CHECK(p11->C_Initialize(NULL), CKR_OK);
    CHECK(p11->C_Initialize(NULL), CKR_CRYPTOKI_ALREADY_INITIALIZED);
    CHECK(p11->C_OpenSession(FIRST_SLOT, CKF_SERIAL_SESSION, NULL, NULL, &own), CKR_OK);
    CHECK(p11->C_GetSessionInfo(own, &info), CKR_OK);
    MUST(in_child(grandchild, own) == 7);
    CHECK(p11->C_Finalize(NULL), CKR_OK);
    CHECK(p11->C_Finalize(NULL), CKR_CRYPTOKI_NOT_INITIALIZED);
}

static int stop;

/* Keeps locks of the library busy while the main thread forks. */
static void *busy(void *unused) {
    CK_SESSION_HANDLE session;
    while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
        CHECK(p11->C_OpenSession(FIRST_SLOT, CKF_SERIAL_SESSION, NULL, NULL, &session), CKR_OK);
        CHECK(p11->C_CloseSession(session), CKR_OK);
    }
    return unused;
}

static void forks(void) {
    CK_SESSION_HANDLE session;
    CK_SESSION_INFO info;
    pthread_t threads[4];
    int i;

    CHECK(p11->C_Initialize(NULL), CKR_OK);
    CHECK(p11->C_OpenSession(FIRST_SLOT, CKF_SERIAL_SESSION, NULL, NULL, &session), CKR_OK);
    for (i = 0; i < 4; i++)
        MUST(pthread_create(&threads[i], NULL, busy, NULL) == 0);
    for (i = 0; i < 50; i++)
        MUST(in_child(child, session) == 7);
    __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
    for (i = 0; i < 4; i++)
        MUST(pthread_join(threads[i], NULL) == 0);
    CHECK(p11->C_GetSessionInfo(session, &info), CKR_OK);
    CHECK(p11->C_Finalize(NULL), CKR_OK);
}

static CK_ULONG made;

static void *initializer(void *unused) {
    CK_RV answered = p11->C_Initialize(NULL);
    if (answered == CKR_OK)
        __atomic_add_fetch(&made, 1, __ATOMIC_RELAXED);
    else
        MUST(answered == CKR_CRYPTOKI_ALREADY_INITIALIZED);
    return unused;
}

/* Of several threads one initialises the library. */
static void races(void) {
    pthread_t threads[8];
    int round, i;

    for (round = 0; round < 20; round++) {
        made = 0;
        for (i = 0; i < 8; i++)
            MUST(pthread_create(&threads[i], NULL, initializer, NULL) == 0);
        for (i = 0; i < 8; i++)
            MUST(pthread_join(threads[i], NULL) == 0);
        MUST(made == 1);
        CHECK(p11->C_Finalize(NULL), CKR_OK);
    }
}

static int calls;

/* Ends by being cancelled, between calls. */
static void *cancelled(void *unused) {
    CK_SESSION_HANDLE session;
    for (;;) {
        CHECK(p11->C_OpenSession(FIRST_SLOT, CKF_SERIAL_SESSION, NULL, NULL, &session), CKR_OK);
        CHECK(p11->C_CloseSession(session), CKR_OK);
        __atomic_add_fetch(&calls, 1, __ATOMIC_RELEASE);
        pthread_testcancel();
    }
    return unused;
}

/* A thread that is cancelled finishes its call, leaves no lock behind, and takes nothing along. */
static void cancelling(void) {
    CK_SESSION_HANDLE session;
    pthread_t thread;
    void *ended;
    int round;

    CHECK(p11->C_Initialize(NULL), CKR_OK);
    for (round = 0; round < 20; round++) {
        MUST(pthread_create(&thread, NULL, cancelled, NULL) == 0);
        while (__atomic_load_n(&calls, __ATOMIC_ACQUIRE) < 10 * (round + 1))
            sched_yield();
        MUST(pthread_cancel(thread) == 0 && pthread_join(thread, &ended) == 0 && ended == PTHREAD_CANCELED);
        CHECK(p11->C_OpenSession(FIRST_SLOT, CKF_SERIAL_SESSION, NULL, NULL, &session), CKR_OK);
    }
    CHECK(p11->C_Finalize(NULL), CKR_OK);
}

static void *ends_later(void *unused) {
    CK_SESSION_HANDLE session;
    CHECK(p11->C_OpenSession(FIRST_SLOT, CKF_SERIAL_SESSION, NULL, NULL, &session), CKR_OK);
    return unused;
}

/* Unloaded and loaded again, with a thread's own memory in use, and without C_Finalize. */
static void unloading(void) {
    pthread_t thread;
    int round;

    for (round = 0; round < 3; round++) {
        MUST(dlclose(library) == 0);
        load(path);
        if (round == 0)
            CHECK(p11->C_Initialize(NULL), CKR_OK);
        MUST(pthread_create(&thread, NULL, ends_later, NULL) == 0);
        MUST(dlclose(library) == 0);
        MUST(pthread_join(thread, NULL) == 0);
        load(path);
    }
    CHECK(p11->C_Finalize(NULL), CKR_OK);
}

int main(int argc, char **argv) {
    MUST(argc == 3);
    path = argv[1];
    clusters = strtoul(argv[2], NULL, 10);
    load(path);
    lists_and_interfaces();
    initializing();
    slots();
    sessions();
    races();
    forks();
    cancelling();
    unloading();
    printf("done\n");
    return 0;
}
