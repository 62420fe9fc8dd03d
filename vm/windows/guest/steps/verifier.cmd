@echo off
rem SPDX-License-Identifier: Apache-2.0
rem The leg with Driver Verifier: the rule classes for drivers of kernel streaming.
setlocal
verifier /rc %KSHS_VERIFIER_CLASSES% /driver %KSHS_VERIFIER_DRIVERS%
set "CODE=%errorlevel%"
rem verifier ends with 0 (done), 2 (done, a reboot is needed) or 1 (error).
if not "%CODE%"=="0" if not "%CODE%"=="2" exit /b %CODE%
rem A driver that crashes while the system starts does so once.
verifier /bootmode resetonbootfail
set "CODE=%errorlevel%"
if not "%CODE%"=="0" if not "%CODE%"=="2" exit /b %CODE%
exit /b 3010
