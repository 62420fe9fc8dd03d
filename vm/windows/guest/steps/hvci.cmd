@echo off
rem SPDX-License-Identifier: Apache-2.0
rem The leg with memory integrity on; test signing stays on with it.  No platform feature is required, because
rem the one that could be is Secure Boot, which test signing excludes.
setlocal
set "GUARD=HKLM\SYSTEM\CurrentControlSet\Control\DeviceGuard"
reg add %GUARD% /v EnableVirtualizationBasedSecurity /t REG_DWORD /d 1 /f
if not %errorlevel%==0 goto :failed
reg add %GUARD%\Scenarios\HypervisorEnforcedCodeIntegrity /v Enabled /t REG_DWORD /d 1 /f
if not %errorlevel%==0 goto :failed
exit /b 3010

:failed
set "CODE=%errorlevel%"
if "%CODE%"=="0" set "CODE=1"
exit /b %CODE%
