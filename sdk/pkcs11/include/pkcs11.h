/* PKCS #11 (Cryptoki) 2.40 with the function list of 3.0.
 *
 * Before this file, five macros must be defined, which depend on the compiler: CK_PTR, CK_DECLARE_FUNCTION,
 * CK_DECLARE_FUNCTION_POINTER, CK_CALLBACK_FUNCTION and NULL_PTR; and on Windows structures must be packed to one byte.
 * cryptoki.h does both.
 */
#ifndef CLOUDHSM_PKCS11_H
#define CLOUDHSM_PKCS11_H

#include "pkcs11t.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Each function. */
#define CK_NEED_ARG_LIST
#define CK_PKCS11_FUNCTION_INFO(name) extern CK_DECLARE_FUNCTION(CK_RV, name)
#include "pkcs11f.h"
#undef CK_PKCS11_FUNCTION_INFO

/* A type of pointers to each. */
#define CK_PKCS11_FUNCTION_INFO(name) typedef CK_DECLARE_FUNCTION_POINTER(CK_RV, CK_##name)
#include "pkcs11f.h"
#undef CK_PKCS11_FUNCTION_INFO
#undef CK_NEED_ARG_LIST

/* The lists, of such pointers. */
#define CK_PKCS11_FUNCTION_INFO(name) CK_##name name;
struct CK_FUNCTION_LIST_3_0 {
    CK_VERSION version;
#include "pkcs11f.h"
};
#define CK_PKCS11_2_40_ONLY
struct CK_FUNCTION_LIST {
    CK_VERSION version;
#include "pkcs11f.h"
};
#undef CK_PKCS11_2_40_ONLY
#undef CK_PKCS11_FUNCTION_INFO

#ifdef __cplusplus
}
#endif

#endif
