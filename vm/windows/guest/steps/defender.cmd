@echo off
rem SPDX-License-Identifier: Apache-2.0
rem Defender scans each new driver and takes time at will: off by policy, and on a server removed.
setlocal
set "POLICY=HKLM\SOFTWARE\Policies\Microsoft\Windows Defender"
reg add "%POLICY%" /v DisableAntiSpyware /t REG_DWORD /d 1 /f
if not %errorlevel%==0 goto :failed
reg add "%POLICY%\Real-Time Protection" /v DisableRealtimeMonitoring /t REG_DWORD /d 1 /f
if not %errorlevel%==0 goto :failed
reg add "%POLICY%\Real-Time Protection" /v DisableBehaviorMonitoring /t REG_DWORD /d 1 /f
if not %errorlevel%==0 goto :failed
reg add "%POLICY%\Real-Time Protection" /v DisableOnAccessProtection /t REG_DWORD /d 1 /f
if not %errorlevel%==0 goto :failed
reg add "%POLICY%\Spynet" /v SpynetReporting /t REG_DWORD /d 0 /f
if not %errorlevel%==0 goto :failed
reg add "%POLICY%\Spynet" /v SubmitSamplesConsent /t REG_DWORD /d 2 /f
if not %errorlevel%==0 goto :failed
reg add "%POLICY%\Exclusions\Paths" /v C:\kshs /t REG_SZ /d 0 /f
if not %errorlevel%==0 goto :failed
set "PRODUCT="
for /f "tokens=3" %%p in ('reg query HKLM\SYSTEM\CurrentControlSet\Control\ProductOptions /v ProductType') do set "PRODUCT=%%p"
if not defined PRODUCT (
    echo The registry does not say whether this is a server.
    exit /b 13
)
rem On a client it is no feature that could be removed.
if /i "%PRODUCT%"=="WinNT" exit /b 0
dism /online /quiet /norestart /disable-feature /featurename:Windows-Defender
set "CODE=%errorlevel%"
rem 0x800f080c: this system has no such feature, so it is removed already.
if "%CODE%"=="-2146498548" set "CODE=0"
exit /b %CODE%

:failed
set "CODE=%errorlevel%"
if "%CODE%"=="0" set "CODE=1"
exit /b %CODE%
