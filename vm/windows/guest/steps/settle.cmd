@echo off
rem SPDX-License-Identifier: Apache-2.0
rem A new system does a lot on its own account.  Wait for that, but not for ever; then start once more,
rem so that the sealed image does not begin with what is done at the first start after changes.
setlocal
"%KSHSCTL%" settle %KSHS_SETTLE_QUIET% %KSHS_SETTLE_LIMIT%
if not %errorlevel%==0 goto :failed
exit /b 3010

:failed
set "CODE=%errorlevel%"
if "%CODE%"=="0" set "CODE=1"
exit /b %CODE%
