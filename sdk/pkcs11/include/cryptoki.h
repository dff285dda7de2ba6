/* The one file to include for PKCS #11 with the library of CloudHSM. */
#ifndef CLOUDHSM_CRYPTOKI_H
#define CLOUDHSM_CRYPTOKI_H

#ifdef _WIN32
#pragma pack(push, cryptoki, 1)
#endif

#ifndef CK_PTR
#define CK_PTR *
#endif
#ifndef CK_DECLARE_FUNCTION
#ifdef _WIN32
#define CK_DECLARE_FUNCTION(returnType, name) returnType __declspec(dllimport) name
#else
#define CK_DECLARE_FUNCTION(returnType, name) returnType name
#endif
#endif
#ifndef CK_DECLARE_FUNCTION_POINTER
#define CK_DECLARE_FUNCTION_POINTER(returnType, name) returnType(CK_PTR name)
#endif
#ifndef CK_CALLBACK_FUNCTION
#define CK_CALLBACK_FUNCTION(returnType, name) returnType(CK_PTR name)
#endif
#ifndef NULL_PTR
#define NULL_PTR 0
#endif

#include "pkcs11.h"

#ifdef _WIN32
#pragma pack(pop, cryptoki)
#endif

#endif
