/* Faults that only a checker of memory sees, so that its silence about other programs says something.
 *
 * faults LIBRARY overflow|leak
 */
#include "check.h"

/* A buffer one byte shorter than the library is told. */
static void overflow(void) {
    CK_ULONG count = 0;
    CHECK(p11->C_GetMechanismList(FIRST_SLOT, NULL, &count), CKR_OK);
    MUST(count > 0);
    CK_MECHANISM_TYPE *list = malloc(count * sizeof *list - 1);
    MUST(list != NULL);
    CHECK(p11->C_GetMechanismList(FIRST_SLOT, list, &count), CKR_OK);
    free(list);
}

/* Memory that nobody can find any more. */
static void leak(void) {
    char *volatile lost = malloc(1000);
    MUST(lost != NULL);
    lost = NULL;
}

int main(int count, char **words) {
    MUST(count == 3);
    load(words[1]);
    CHECK(p11->C_Initialize(NULL), CKR_OK);
    if (strcmp(words[2], "overflow") == 0)
        overflow();
    else
        leak();
    CHECK(p11->C_Finalize(NULL), CKR_OK);
    printf("done\n");
    return 0;
}
