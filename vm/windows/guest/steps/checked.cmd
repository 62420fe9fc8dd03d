@echo off
rem SPDX-License-Identifier: Apache-2.0
rem What only a restart makes true is true now.
setlocal
"%KSHSCTL%" check-policy %KSHS_POLICIES%
if not %errorlevel%==0 goto :failed
"%KSHSCTL%" start-service sshd
if not %errorlevel%==0 goto :failed
if not defined KSHS_VERIFIER_CLASSES exit /b 0
verifier /querysettings >"%STATE%\verifier.txt"
if not %errorlevel%==0 goto :failed
type "%STATE%\verifier.txt"
"%KSHSCTL%" verifier-check "%STATE%\verifier.txt" "%KSHS_VERIFIER_CLASSES%" "%KSHS_VERIFIER_DRIVERS%"
if not %errorlevel%==0 goto :failed
exit /b 0

:failed
set "CODE=%errorlevel%"
if "%CODE%"=="0" set "CODE=1"
exit /b %CODE%
