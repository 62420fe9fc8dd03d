@echo off
rem SPDX-License-Identifier: Apache-2.0
rem Port 22, on every profile: the rule that comes with Windows covers two of three.
rem There is no rule to delete the first time.
setlocal
netsh advfirewall firewall delete rule name=kshs-ssh
netsh advfirewall firewall add rule name=kshs-ssh dir=in action=allow protocol=TCP localport=22 profile=any
if not %errorlevel%==0 goto :failed
exit /b 0

:failed
set "CODE=%errorlevel%"
if "%CODE%"=="0" set "CODE=1"
exit /b %CODE%
